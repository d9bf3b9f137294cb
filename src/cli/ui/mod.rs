//! The only printer. What blueprints, archives and servers say is shown, and steers no terminal. Progress goes to standard error; results that programs read go to standard output.

/// A line of a result, on standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::ui::tell(&(format!($($text)*) + "\n")) };
}

/// A line of anything else, on standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::ui::note(&(format!($($text)*) + "\n")) };
}

mod hidden;
mod json;
mod log;
mod plain;
mod tty;

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::blueprint::Problems;
use crate::event::Reporter;
pub use crate::event::{age, bytes, count, duration};
use crate::sink;
use crate::yaml::{self, json_shown, one_line, shown};

pub use hidden::{hide, hide_given, hide_quoted};
pub use json::made;
pub use log::{logging, logs};

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A live view on a terminal, plain lines elsewhere and under `CI` or `TERM=dumb`
    #[default]
    Auto,
    /// A live view
    Tty,
    /// One line for each start and end
    Plain,
    /// One JSON object a line
    Json,
}

/// What is shown of what tasks print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TaskOutput {
    /// Everything in plain lines, the last line in a live view
    #[default]
    Auto,
    /// All of it
    All,
    /// The last lines of a task that failed
    Failures,
}

/// How a result is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs: one JSON value
    Json,
}

/// Set where all that tasks print stands on standard error as it comes.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// True if what a task printed was shown when it failed.
pub fn shows_output() -> bool {
    SHOWN.load(Ordering::Relaxed)
}

/// Failures are told in the chosen way from here on, whether there is a reporter already or not.
pub fn begin(progress: Progress, quiet: bool) {
    if progress == Progress::Json && !quiet {
        json::Json::start();
    }
}

/// A reporter of the chosen kind.
pub fn reporter(progress: Progress, quiet: bool, output: TaskOutput) -> Reporter {
    let live = std::io::stderr().is_terminal()
        && std::env::var_os("CI").is_none()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let plain = !quiet && (progress == Progress::Plain || (progress == Progress::Auto && !live));
    SHOWN.store(plain && output != TaskOutput::Failures, Ordering::Relaxed);
    hidden::hiding(match progress {
        _ if quiet => Arc::new(plain::WarningsOnly),
        Progress::Json => json::Json::start(),
        Progress::Tty => Arc::new(tty::Tty::new(output)),
        Progress::Auto if live => Arc::new(tty::Tty::new(output)),
        Progress::Auto | Progress::Plain => plain::Plain::start(output != TaskOutput::Failures),
    })
}

/// True where colour is welcome on standard error (`NO_COLOR`, no-color.org).
pub fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints how a command failed.
pub fn failure(error: &super::CommandError) {
    log::failure(error);
    if json::failure(error) {
        return;
    }
    let (red, cyan, plain) = if color() { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    errln!("{red}error:{plain} {}", error.message.trim_end());
    for hint in &error.hints {
        errln!("{cyan}hint:{plain} {hint}");
    }
}

/// Says that alloy ends because it was told to.
pub fn interrupted() {
    let stderr = rustix::stdio::stderr();
    // Whoever read it may be gone, or read nothing any more while another thread writes to it and holds its lock; alloy
    // ends all the same.
    let ready = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&Timespec::default()));
    if ready.is_ok_and(|ready| ready > 0) {
        let _ = rustix::io::write(stderr, b"\ninterrupted; what is built so far is kept\n");
    }
}

/// Prints rows in columns on standard output.
pub fn table<const N: usize>(rows: &[[String; N]]) {
    // A row is one line, whatever somebody else's text in it.
    let rows: Vec<[Cow<'_, str>; N]> = rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        outln!("{}", cells.join("  ").trim_end());
    }
}

/// True where colour is welcome on standard output.
pub fn color_out() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Why a result could not be printed.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Prints a result for people, without secrets, and with what steers terminals as escapes.
pub fn tell(text: &str) {
    out(&*shown(&hidden::masked(text), color_out()));
}

/// What is wrong with a blueprint, as text. The passwords of its URLs are not shown from here on.
pub fn problems(problems: &Problems, color: bool) -> String {
    hide_quoted(&problems.sources);
    yaml::render(&problems.diagnostics, &problems.sources, color)
}

/// Prints a result for programs, as one line of JSON. It steers no terminal either, and holds no secret.
pub fn json(value: Value) {
    let line = format!("{}\n", without_secrets(value));
    out(&*json_shown(&line));
}

/// The same in lines that people can read as well.
pub fn json_lines(value: Value) {
    let lines = format!("{:#}\n", without_secrets(value));
    out(&*json_shown(&lines));
}

fn without_secrets(mut value: Value) -> Value {
    hidden::masked_value(&mut value);
    value
}

/// Prints a document of JSON: to programs byte by byte as it is, to a terminal with what would steer it as escapes.
pub fn document(bytes: &[u8]) {
    match std::str::from_utf8(bytes).ok().filter(|_| std::io::stdout().is_terminal()) {
        Some(text) => out(&*json_shown(text)),
        None => out(bytes),
    }
}

/// The same on standard error. Nobody may be reading any more: work goes on.
pub fn note(text: &str) {
    let _ = std::io::stderr().write_all(shown(&hidden::masked(text), color()).as_bytes());
}

/// Prints a result as it is: for programs, which want each byte. Nobody may be reading any more: that is no failure, and anything else shows in [`unprinted`].
pub fn out(text: &(impl AsRef<[u8]> + ?Sized)) {
    if sink::output_is_closed() {
        drop(UNPRINTED.set("standard output is closed".to_owned()));
        return;
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(UNPRINTED.set(error.to_string())),
        _ => {}
    }
}

/// Why a result could not be printed, if that is so.
pub fn unprinted() -> Option<&'static String> {
    UNPRINTED.get()
}

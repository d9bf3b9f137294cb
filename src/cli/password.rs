//! Names and passwords, asked for on a terminal or read from standard input. Never from the command line, which every
//! user of the machine can read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::error::{CommandError, Kind};

/// More than this is no password.
const LIMIT: u64 = 64 << 10;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// All of standard input, without the end of the line.
pub(super) fn from_stdin() -> Result<String, CommandError> {
    let mut text = String::new();
    io::stdin().lock().take(LIMIT).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if password.is_empty() {
        return Err(CommandError::usage("--password-stdin: nothing came from standard input"));
    }
    Ok(password.to_owned())
}

/// True if there is somebody to ask.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && File::open("/dev/tty").is_ok()
}

/// Asks for a name.
pub(super) fn ask_name() -> Result<String, CommandError> {
    let mut terminal = terminal()?;
    let mut name = String::new();
    write!(terminal, "Username: ")
        .and_then(|()| BufReader::new(terminal).take(LIMIT).read_line(&mut name))
        .map_err(|error| failed(&error))?;
    answer(name.trim().to_owned())
}

/// Asks for a password, which is not shown.
pub(super) fn ask_password() -> Result<String, CommandError> {
    let mut terminal = terminal()?;
    let before = tcgetattr(&terminal).map_err(|error| failed(&error.into()))?;
    let typed = write!(terminal, "Password: ").and_then(|()| {
        tcsetattr(&terminal, OptionalActions::Flush, &silent(&before))?;
        typed(&terminal)
    });
    // Whatever happened: a terminal without echo is of no use to anybody.
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
    let _ = writeln!(terminal);
    match typed.map_err(|error| failed(&error))? {
        Some(password) => answer(password),
        None => Err(CommandError::new(Kind::Interrupted, "interrupted")),
    }
}

/// Byte by byte, not shown, and Ctrl-C is one of them: it may not end alloy before the echo is back.
fn silent(before: &Termios) -> Termios {
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    silent
}

/// A line; `None` after Ctrl-C.
fn typed(terminal: impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    for byte in BufReader::new(terminal).bytes() {
        match byte? {
            b'\n' | b'\r' | CTRL_D => break,
            CTRL_C => return Ok(None),
            CTRL_U => line.clear(),
            byte if BACKSPACE.contains(&byte) => {
                // A whole character, not the last byte of one.
                while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map(Some).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn terminal() -> Result<File, CommandError> {
    File::options().read(true).write(true).open("/dev/tty").map_err(|error| failed(&error))
}

fn answer(text: String) -> Result<String, CommandError> {
    if text.is_empty() { Err(CommandError::usage("nothing was typed")) } else { Ok(text) }
}

fn failed(error: &io::Error) -> CommandError {
    CommandError::new(Kind::Failed, format!("cannot read a password: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_correct_are_obeyed() {
        let line = |keys: &str| typed(keys.as_bytes()).unwrap();
        assert_eq!(line("secret\rmore").as_deref(), Some("secret"));
        assert_eq!(line("wrong\u{15}sé\u{7f}ecx\u{8}ret\n").as_deref(), Some("secret"));
        assert_eq!(line("\u{7f}a\u{4}").as_deref(), Some("a"));
        assert_eq!(line("secr\u{3}"), None);
    }
}

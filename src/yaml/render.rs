//! Diagnostics as text: file, line, column, the source underlined, and what to do.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, Report};

use super::window::Window;
use super::{Diagnostic, Severity, Sources};

/// Renders all of `diagnostics`, in the order of files and lines.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.span);
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(120).with_context_lines(1);
    let mut text = String::new();
    for (index, diagnostic) in sorted.into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let rendered = handler.render_report(&mut text, report(diagnostic, sources).as_ref());
        if rendered.is_err() {
            let _ = writeln!(text, "{}: {}", sources.place(diagnostic.span), diagnostic.message);
        }
    }
    // Trailing white space of the source is of no use at the end of a line.
    let mut out: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    out.truncate(out.len() - usize::from(!text.ends_with('\n') && !text.is_empty()));
    out
}

fn report(diagnostic: &Diagnostic, sources: &Sources) -> Report {
    let span = diagnostic.span;
    let label = (!diagnostic.label.is_empty()).then(|| diagnostic.label.clone());
    let mut value = MietteDiagnostic::new(diagnostic.message.clone()).with_code(diagnostic.code);
    value.severity = Some(match diagnostic.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    });
    value.help.clone_from(&diagnostic.help);
    let window = Window::new(span, &sources.text(span.file), sources.name(span.file));
    if window.is_empty() {
        // There is nothing to underline.
        value.message = format!("{}: {}", sources.name(span.file), diagnostic.message);
        return Report::new(value);
    }
    let value = value.with_label(LabeledSpan::new_primary_with_span(label, window.mark()));
    Report::new(value).with_source_code(window)
}

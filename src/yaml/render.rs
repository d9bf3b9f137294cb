//! Diagnostics as text: file, line, column, the source underlined, and what to do.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

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
    text
}

fn report(diagnostic: &Diagnostic, sources: &Sources) -> Report {
    let span = diagnostic.span;
    let label = (!diagnostic.label.is_empty()).then(|| diagnostic.label.clone());
    let length = span.end.saturating_sub(span.start);
    let mut value = MietteDiagnostic::new(diagnostic.message.clone()).with_code(diagnostic.code);
    value.severity = Some(match diagnostic.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    });
    value.help.clone_from(&diagnostic.help);
    let value = value.with_label(LabeledSpan::new_primary_with_span(label, (span.start, length)));
    let text = sources.text(span.file).to_string();
    Report::new(value).with_source_code(NamedSource::new(sources.name(span.file), text))
}

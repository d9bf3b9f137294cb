//! What is wrong with a blueprint, where, and what to do.

use std::sync::Arc;

use super::plain::plain;

/// A file of a [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// A place in a file: bytes from `start` to before `end`; line and column count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Line of the first byte.
    pub line: usize,
    /// Column of the first byte.
    pub column: usize,
}

impl Span {
    /// The beginning of a file.
    pub fn start_of(file: FileId) -> Self {
        Self { file, start: 0, end: 0, line: 1, column: 1 }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The blueprint cannot be used.
    Error,
    /// It can, and somebody should look at it.
    Warning,
}

/// How many problems are worth saying: whoever reads them stops long before, and finding near names takes time.
pub const MAX_PROBLEMS: usize = 1000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// A stable name for the kind of problem.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words at the underlined place.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// The part of the place that it is about, where that is a part: its text, and how often this stands before it.
    pub part: Option<(String, usize)>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let message = plain(&message.into()).into_owned();
        Self { code, severity: Severity::Error, message, span, label: String::new(), help: None, part: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// With words at the underlined place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = plain(&label.into()).into_owned();
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(plain(&help.into()).into_owned());
        self
    }

    /// Of a part of the place alone: of `text`, which stands there `before` times already.
    #[must_use]
    pub fn of(mut self, text: impl Into<String>, before: usize) -> Self {
        self.part = Some((text.into(), before));
        self
    }

    /// The same at the part that it is about, where `sources` have that as it is.
    #[must_use]
    pub fn narrowed(mut self, sources: &Sources) -> Self {
        let Some((part, before)) = self.part.take() else { return self };
        let whole = sources.slice(self.span);
        let found = whole.match_indices(&part).nth(before).map(|(at, _)| at);
        if let Some(at) = found {
            let line = part.lines().next().unwrap_or_default();
            self.span = self.span.part(whole, at, at + line.len());
        }
        self
    }

    /// With "did you mean", where there is a near name.
    #[must_use]
    pub fn suggest<'n>(self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        match super::nearest(wrong, names) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// A warning is an error where that is asked for.
    pub fn strictly(self, strict: bool) -> Self {
        if strict { Self { severity: Severity::Error, ..self } } else { self }
    }

    /// An error is a warning where what it is about may be so.
    pub fn leniently(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// True for an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<(String, Arc<str>)>,
}

impl Sources {
    /// Adds a file under the name it is shown by.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push((name.into(), text.into()));
        FileId(self.files.len() - 1)
    }

    /// All files: their names and texts.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), &**text))
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0).map_or("", |(name, _)| name)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0).map_or_else(|| Arc::from(""), |(_, text)| Arc::clone(text))
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.files.get(span.file.0).and_then(|(_, text)| text.get(span.start..span.end)).unwrap_or_default()
    }

    /// `file:line:column` of a span.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}:{}", self.name(span.file), span.line, span.column)
    }
}

//! A YAML tree with positions, and typed access that says what is wrong.

use super::{Diagnostic, Span};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where.
    pub span: Span,
    /// What.
    pub value: Value,
}

/// A value. Scalars are the text that was written: their type is the reader's to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar; `plain` when it stands without quotes.
    Scalar {
        /// Its text, escapes resolved.
        text: String,
        /// Without quotes, and not a block.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping.
    Mapping(Mapping),
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A mapping in the order it was written; keys are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Keys and values.
    pub entries: Vec<(Key, Node)>,
}

impl Mapping {
    /// The value of `key`; one that is written as null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The place of `key` where nothing stands behind it.
    pub fn bare(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|(k, node)| k.text == key && node.is_null()).map(|(key, _)| key.span)
    }
}

impl Value {
    /// The same as JSON: scalars are texts.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Scalar { text, .. } => text.clone().into(),
            Self::Sequence(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Mapping(mapping) => {
                let entries = mapping.entries.iter().map(|(key, node)| (key.text.clone(), node.value.to_json()));
                serde_json::Value::Object(entries.collect())
            }
        }
    }
}

impl Node {
    /// Nothing, at a place.
    pub fn null(span: Span) -> Self {
        Self { span, value: Value::Scalar { text: String::new(), plain: true } }
    }

    /// True for `~`, `null` and nothing.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    fn wrong(&self, what: &str, expected: &str) -> Diagnostic {
        let got = match &self.value {
            // A text, where a number, or something of more parts, is what was wanted.
            Value::Scalar { text, .. } if !self.is_null() && text.chars().count() <= 40 && !text.contains('\0') => {
                format!("`{text}`")
            }
            _ => self.kind().to_owned(),
        };
        // A name of its own has its quotes: "an entry of `packages`".
        let what = if what.contains('`') { what.to_owned() } else { format!("`{what}`") };
        Diagnostic::error("type", self.span, format!("{what} must be {expected}, not {got}"))
            .label(format!("expected {expected}"))
    }

    /// Its text: numbers and booleans are taken as they are written.
    pub fn text(&self, what: &str) -> Result<&str, Diagnostic> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Ok(text),
            _ => Err(self.wrong(what, "a text")),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, what: &str) -> Result<bool, Diagnostic> {
        let wrong = || self.wrong(what, "`true` or `false`");
        match &self.value {
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Ok(true),
                "false" | "False" | "FALSE" => Ok(false),
                _ => Err(match text.to_lowercase().as_str() {
                    "yes" | "on" | "y" => wrong().help("write `true`"),
                    "no" | "off" | "n" => wrong().help("write `false`"),
                    _ => wrong(),
                }),
            },
            Value::Scalar { text, .. } if matches!(text.as_str(), "true" | "false") => {
                let what = if what.contains('`') { what.to_owned() } else { format!("`{what}`") };
                let message = format!("{what} must be `true` or `false`, not a text between quotes");
                Err(Diagnostic::error("type", self.span, message).label("a text").help("write it without quotes"))
            }
            _ => Err(wrong()),
        }
    }

    /// A whole number, not negative.
    pub fn number(&self, what: &str) -> Result<u32, Diagnostic> {
        match &self.value {
            Value::Scalar { text, .. } => text.parse().map_err(|_| self.wrong(what, "a whole number, 0 or more")),
            _ => Err(self.wrong(what, "a whole number, 0 or more")),
        }
    }

    /// A list.
    pub fn sequence(&self, what: &str) -> Result<&[Node], Diagnostic> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
            Value::Scalar { text, .. } if !self.is_null() && text.len() <= 40 && !text.contains(['\n', '\0']) => {
                Err(self.wrong(what, "a list").help(format!("write `{what}: [{text}]`")))
            }
            _ => Err(self.wrong(what, "a list")),
        }
    }

    /// A mapping.
    pub fn mapping(&self, what: &str) -> Result<&Mapping, Diagnostic> {
        match &self.value {
            Value::Mapping(mapping) => Ok(mapping),
            _ => Err(self.wrong(what, "a mapping")),
        }
    }
}

/// What a value of the list `field` is called in messages.
pub fn entry_of(field: &str) -> String {
    format!("an entry of `{field}`")
}

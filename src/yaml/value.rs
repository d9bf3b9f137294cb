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
        Diagnostic::error("type", self.span, format!("`{what}` must be {expected}, not {}", self.kind()))
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
        match &self.value {
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Ok(true),
                "false" | "False" | "FALSE" => Ok(false),
                _ => Err(self.wrong(what, "`true` or `false`")),
            },
            _ => Err(self.wrong(what, "`true` or `false`")),
        }
    }

    /// A whole number, not negative.
    pub fn number(&self, what: &str) -> Result<u32, Diagnostic> {
        match &self.value {
            Value::Scalar { text, .. } => text.parse().map_err(|_| self.wrong(what, "a whole number")),
            _ => Err(self.wrong(what, "a whole number")),
        }
    }

    /// A list.
    pub fn sequence(&self, what: &str) -> Result<&[Node], Diagnostic> {
        match &self.value {
            Value::Sequence(items) => Ok(items),
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

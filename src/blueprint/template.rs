//! `{{.Vars.NAME}}`, as Go's text/template has it, and `$NAME`. Nothing else is a template here.

/// What is wrong with a template, and where: the how-manieth `{{` (or `$`) of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// No variable of that name.
    Undefined { name: String, nth: usize },
    /// Not `.Vars.NAME`.
    Construct { text: String, nth: usize },
    /// `{{` without `}}`.
    Open { nth: usize },
}

impl TemplateError {
    pub(super) fn nth(&self) -> usize {
        match self {
            Self::Undefined { nth, .. } | Self::Construct { nth, .. } | Self::Open { nth } => *nth,
        }
    }
}

/// Expands `{{.Vars.NAME}}`; `{{-` and `-}}` eat the white space beside them.
pub(super) fn expand(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut nth = 0;
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        let end = after.find("}}").ok_or(TemplateError::Open { nth })?;
        let (inner, after) = (&after[..end], &after[end + 2..]);
        let (inner, trim_left) = match inner.strip_prefix('-') {
            Some(inner) if inner.starts_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        let (inner, trim_right) = match inner.strip_suffix('-') {
            Some(inner) if inner.ends_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        let name = inner.trim().strip_prefix(".Vars.").filter(|name| super::manifest::is_name(name));
        let Some(name) = name else {
            return Err(TemplateError::Construct { text: inner.trim().to_owned(), nth });
        };
        let value = lookup(name).ok_or_else(|| TemplateError::Undefined { name: name.to_owned(), nth })?;
        out.push_str(if trim_left { before.trim_end() } else { before });
        out.push_str(&value);
        rest = if trim_right { after.trim_start() } else { after };
        nth += 1;
    }
    out.push_str(rest);
    Ok(out)
}

/// Expands `$NAME` and `${NAME}`; `$$` is a dollar sign, and so is one that no name follows.
pub(super) fn expand_env(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut nth = 0;
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let plain = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, tail) = braced.unwrap_or_else(|| after.split_at(plain));
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if super::manifest::is_name(name) {
            let value = lookup(name).ok_or_else(|| TemplateError::Undefined { name: name.to_owned(), nth })?;
            out.push_str(&value);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
        nth += 1;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(name: &str) -> Option<String> {
        (name == "A").then(|| "x".to_owned())
    }

    #[test]
    fn variables_in_every_spelling() {
        assert_eq!(expand("/opt/{{.Vars.A}}/{{ .Vars.A }}", vars).unwrap(), "/opt/x/x");
        assert_eq!(expand("a  {{- .Vars.A -}}  b", vars).unwrap(), "axb");
        assert_eq!(expand("no braces } here {", vars).unwrap(), "no braces } here {");
    }

    #[test]
    fn anything_else_is_an_error() {
        let undefined = TemplateError::Undefined { name: "B".into(), nth: 1 };
        assert_eq!(expand("{{.Vars.A}}{{.Vars.B}}", vars), Err(undefined));
        for construct in ["{{ if .Vars.A }}", "{{.Env.A}}", "{{.Vars.A | upper}}", "{{}}"] {
            assert!(matches!(expand(construct, vars), Err(TemplateError::Construct { nth: 0, .. })), "{construct}");
        }
        assert_eq!(expand("{{.Vars.A", vars), Err(TemplateError::Open { nth: 0 }));
    }

    #[test]
    fn the_environment() {
        assert_eq!(expand_env("$A/${A}x $$A 5$", vars).unwrap(), "x/xx $A 5$");
        assert!(expand_env("$B", vars).is_err());
    }
}

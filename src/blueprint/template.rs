//! `{{.Vars.NAME}}` and `{{ arch }}`, as Go's text/template has them, and `$NAME`. Nothing else is a template here.

/// What `{{ arch }}` is looked up as: no variable has such a name.
pub(super) const ARCH: &str = "{{arch}}";

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

/// Expands `{{.Vars.NAME}}`; `{{-` and `-}}` eat the white space beside them. All that is wrong is reported.
pub(super) fn expand(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> Result<String, Vec<TemplateError>> {
    let mut out = String::with_capacity(text.len());
    let mut errors = Vec::new();
    let mut rest = text;
    let mut nth = 0;
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        let Some(end) = after.find("}}") else {
            errors.push(TemplateError::Open { nth });
            break;
        };
        let (inner, after) = (&after[..end], &after[end + 2..]);
        let (inner, trim_left) = match inner.strip_prefix('-') {
            Some(inner) if inner.starts_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        let (inner, trim_right) = match inner.strip_suffix('-') {
            Some(inner) if inner.ends_with(char::is_whitespace) => (inner, true),
            _ => (inner, false),
        };
        let variable = || inner.trim().strip_prefix(".Vars.").filter(|name| super::manifest::is_name(name));
        let name = if inner.trim() == "arch" { Some(ARCH) } else { variable() };
        let value = match name {
            Some(name) => lookup(name).ok_or_else(|| TemplateError::Undefined { name: name.to_owned(), nth }),
            None => Err(TemplateError::Construct { text: inner.trim().to_owned(), nth }),
        };
        out.push_str(if trim_left { before.trim_end() } else { before });
        match value {
            Ok(value) => out.push_str(&value),
            Err(error) => errors.push(error),
        }
        rest = if trim_right { after.trim_start() } else { after };
        // A `{{` within the braces is no further one, but it is there to be counted.
        nth += 1 + inner.matches("{{").count();
    }
    out.push_str(rest);
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// Expands `$NAME` and `${NAME}`; `$$` is a dollar sign, and so is one that no name follows.
pub(super) fn expand_env(
    text: &str,
    mut lookup: impl FnMut(&str) -> Option<String>,
) -> Result<String, Vec<TemplateError>> {
    let mut out = String::with_capacity(text.len());
    let mut errors = Vec::new();
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
            nth += 1;
        } else if super::manifest::is_name(name) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => errors.push(TemplateError::Undefined { name: name.to_owned(), nth }),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
        nth += 1;
    }
    out.push_str(rest);
    if errors.is_empty() { Ok(out) } else { Err(errors) }
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
        let undefined = |nth| TemplateError::Undefined { name: "B".into(), nth };
        assert_eq!(expand("{{.Vars.A}}{{.Vars.B}} {{.Vars.B}}", vars), Err(vec![undefined(1), undefined(2)]));
        for construct in ["{{ if .Vars.A }}", "{{.Env.A}}", "{{.Vars.A | upper}}", "{{}}"] {
            let errors = expand(construct, vars).unwrap_err();
            assert!(matches!(errors.as_slice(), [TemplateError::Construct { nth: 0, .. }]), "{construct}");
        }
        assert_eq!(expand("{{.Vars.A", vars), Err(vec![TemplateError::Open { nth: 0 }]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_a_template(text in "([ -~\\n\\PCö€]{0,6}|\\{\\{-?|-?\\}\\}| ?\\.Vars\\.[AB] ?|\\$\\{?|\\}){0,12}") {
            for errors in [expand(&text, vars).err(), expand_env(&text, vars).err()].into_iter().flatten() {
                let places = text.matches("{{").count().max(text.matches('$').count());
                proptest::prop_assert!(errors.iter().all(|error| error.nth() < places.max(1)), "{:?}", errors);
            }
            if !text.contains("{{") {
                proptest::prop_assert_eq!(&expand(&text, vars).unwrap(), &text);
            }
            if !text.contains('$') {
                proptest::prop_assert_eq!(&expand_env(&text, vars).unwrap(), &text);
            }
        }
    }

    #[test]
    fn the_environment() {
        assert_eq!(expand_env("$A/${A}x $$A 5$", vars).unwrap(), "x/xx $A 5$");
        let undefined = |nth| TemplateError::Undefined { name: "B".into(), nth };
        assert_eq!(expand_env("$$ $B ${B}", vars), Err(vec![undefined(2), undefined(3)]));
    }
}

//! Typed access to a task's fields, with the place of what is wrong.

use std::collections::BTreeMap;

use layers::digest::Digest;

use super::{COMMON, Task};
use crate::op::{Assignment, Checkout, Command, EnvValue, Op, Secrets, Source, Wanted};
use crate::yaml::{Diagnostic, Key, Node, Value, entry_of};

/// The fields of one task.
#[derive(Debug)]
pub struct Fields<'a> {
    pub(super) task: &'a Task<'a>,
    /// What is worth saying without being an error.
    pub(super) warnings: Vec<Diagnostic>,
    /// What it takes out of git repositories.
    pub(super) checkouts: Vec<Checkout>,
    /// What it installs from the registry of a language.
    pub(super) wanted: Option<Wanted>,
    /// Its commands are lent the agent of whoever builds.
    pub(super) ssh: bool,
}

type Result<T> = std::result::Result<T, Diagnostic>;

impl<'a> Fields<'a> {
    /// Where the task stands.
    pub fn span(&self) -> crate::yaml::Span {
        self.task.span
    }

    /// The node of a field, if it is there.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.task.fields.get(name)
    }

    /// The node of a field that must be there.
    pub fn required(&self, name: &str) -> Result<&'a Node> {
        self.node(name).ok_or_else(|| {
            let action = self.task.action.name;
            let bare = self.task.fields.bare(name);
            let error = |message: String| Diagnostic::error("missing-field", bare.unwrap_or(self.task.span), message);
            if self.task.arch_missing {
                let arch = self.task.arch;
                return error(format!("`{name}` is given for other architectures only, not for {arch}"))
                    .label(format!("no `{name}` for {arch}"))
                    .help(format!("add `{arch}:` to `per_arch`, or a `{name}` beside it"));
            }
            let label = bare.map_or(format!("`{name}` is missing"), |_| "nothing stands behind it".to_owned());
            let all = COMMON.iter().chain(self.task.action.fields);
            let summary = all.into_iter().find(|field| field.name == name).map(|field| field.summary);
            let error = error(format!("`{action}` needs `{name}`")).label(label);
            match summary {
                Some(summary) => error.help(format!("`{name}`: {summary}")),
                None => error,
            }
        })
    }

    /// A text that must be there and not be empty. Secrets are refused: it ends up in a layer.
    pub fn text(&self, name: &str) -> Result<String> {
        let text = self.text_or_secret(name)?;
        self.no_secret(name, &text)?;
        Ok(text)
    }

    /// A text that must be there, secrets allowed: it is used and not kept.
    pub fn text_or_secret(&self, name: &str) -> Result<String> {
        let node = self.required(name)?;
        let text = node.text(name)?;
        if text.trim().is_empty() {
            return Err(Diagnostic::error("empty", node.span, format!("`{name}` is empty")));
        }
        Ok(text.to_owned())
    }

    /// A text that may be missing.
    pub fn optional(&self, name: &str) -> Result<Option<String>> {
        self.node(name).map(|_| self.text(name)).transpose()
    }

    fn no_secret(&self, name: &str, text: &str) -> Result<()> {
        match self.node(name) {
            Some(node) if Secrets::in_text(text) => {
                Err(Diagnostic::error("secret", node.span, format!("`{name}` would write a secret into the image"))
                    .label("holds the value of a secret variable, or the password of a URL")
                    .help("secrets may be used in `command`, `skip_if` and `url`; everything else ends up in a layer"))
            }
            _ => Ok(()),
        }
    }

    /// Content of a file: may be empty.
    pub fn content(&self, name: &str) -> Result<String> {
        let node = self.required(name)?;
        let text = node.text(name)?;
        self.no_secret(name, text)?;
        Ok(text.to_owned())
    }

    /// An absolute path in the target, in its shortest form.
    pub fn path(&self, name: &str) -> Result<String> {
        let text = self.text(name)?;
        absolute_path(&text).map_err(|(message, help)| {
            let node = self.node(name).map_or(self.task.span, |node| node.span);
            Diagnostic::error("path", node, format!("`{name}` {message}")).help(help)
        })
    }

    /// A path that may be missing.
    pub fn optional_path(&self, name: &str) -> Result<Option<String>> {
        self.node(name).map(|_| self.path(name)).transpose()
    }

    /// `true` or `false`; false when missing.
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.node(name).map_or(Ok(false), |node| node.boolean(name))
    }

    /// A whole number; 0 when missing.
    pub fn number(&self, name: &str) -> Result<u32> {
        self.node(name).map_or(Ok(0), |node| node.number(name))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<(&'a Node, String)>> {
        let items = self.required(name)?.sequence(name)?;
        items.iter().map(|item| Ok((item, item.text(&entry_of(name))?.trim().to_owned()))).collect()
    }

    /// A list of texts, or the words of one text; nothing when missing.
    pub fn words(&self, name: &str) -> Result<Vec<String>> {
        let Some(node) = self.node(name) else { return Ok(Vec::new()) };
        let words: Vec<String> = match node.text(name) {
            Ok(text) => text.split_whitespace().map(str::to_owned).collect(),
            Err(_) if node.sequence(name).is_ok() => self.texts(name)?.into_iter().map(|(_, text)| text).collect(),
            Err(_) => {
                let message = format!("`{name}` must be a list or a text, not {}", node.kind());
                return Err(Diagnostic::error("type", node.span, message).label("expected a list or a text"));
            }
        };
        words.iter().try_for_each(|word| self.no_secret(name, word))?;
        Ok(words)
    }

    /// `url` and `sha256`.
    pub fn download(&self) -> Result<Source> {
        download(self.required("url")?, self.node("sha256"))
    }

    /// `url` and `sha256` in the mapping `name`.
    pub fn nested_download(&self, name: &str) -> Result<Source> {
        let node = self.required(name)?;
        let mapping = node.mapping(name)?;
        let missing = || Diagnostic::error("missing-field", node.span, format!("`{name}` needs `url`"));
        let help = "write `url:` and `sha256:` below it";
        download(mapping.get("url").ok_or_else(|| missing().help(help))?, mapping.get("sha256"))
    }

    /// The downloads and files of the blueprint in the list `name` that are for this architecture; none when missing.
    pub fn downloads(&self, name: &str) -> Result<Vec<Source>> {
        let Some(node) = self.node(name) else { return Ok(Vec::new()) };
        let mut sources = Vec::new();
        for item in node.sequence(name)? {
            let source = match &item.value {
                Value::Mapping(mapping) => {
                    let known = ["url", "sha256", "arch"];
                    if let Some((key, _)) = mapping.entries.iter().find(|(key, _)| !known.contains(&key.text.as_str()))
                    {
                        let message = format!("an entry of `{name}` has no `{}`", key.text);
                        return Err(Diagnostic::error("field", key.span, message)
                            .help("it has `url`, `sha256` and `arch`")
                            .suggest(&key.text, known));
                    }
                    let arch = mapping.get("arch").map(|node| node.text("arch")).transpose()?.map(str::trim);
                    let is_name = |arch: &&str| {
                        !arch.is_empty() && arch.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                    };
                    if let Some(arch) = arch.filter(|arch| !is_name(arch)) {
                        let span = mapping.get("arch").map_or(item.span, |node| node.span);
                        return Err(Diagnostic::error("word", span, format!("`arch` cannot be `{arch}`"))
                            .help("it is Debian's name of one, such as amd64, arm64 or armhf"));
                    }
                    let missing =
                        || Diagnostic::error("missing-field", item.span, format!("an entry of `{name}` needs `url`"));
                    let url = mapping
                        .get("url")
                        .ok_or_else(|| missing().help("write `url:` and `sha256:` below each other"))?;
                    let source = one_download(name, url, mapping.get("sha256"))?;
                    if arch.is_some_and(|arch| arch != self.task.arch) {
                        continue;
                    }
                    source
                }
                _ => one_download(name, item, None)?,
            };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        Ok(sources)
    }

    /// One of some words.
    pub fn one_of(&self, name: &str, known: &'static [&'static str]) -> Result<&'static str> {
        let node = self.required(name)?;
        let text = node.text(name)?;
        known.iter().copied().find(|word| *word == text).ok_or_else(|| {
            let help = match known {
                [word] => format!("it is always `{word}`"),
                words => format!("it is one of {}", words.join(", ")),
            };
            Diagnostic::error("word", node.span, format!("`{name}` cannot be `{text}`"))
                .help(help)
                .suggest(text, known.iter().copied())
        })
    }

    /// What the blueprint around the task knows.
    pub fn lookup(&self) -> &dyn super::Lookup {
        self.task.lookup
    }

    /// A program of the image, in the login environment of whoever runs the task: it may be on the PATH of a profile.
    pub fn tool(&self, words: &[&str], cwd: &str) -> Result<Op> {
        let user = self.run_as()?.unwrap_or_else(|| "root".to_owned());
        let command = Command::Argv(words.iter().map(|word| (*word).to_owned()).collect());
        Ok(Op::Run { command, user: Some(user), env: self.task.env.clone(), cwd: Some(cwd.to_owned()) })
    }

    /// A directory that belongs to whoever runs the task.
    pub fn own_directory(&self, path: &str) -> Result<Vec<Op>> {
        let mut ops = vec![Op::MakeDir { path: path.to_owned() }];
        if let Some(user) = self.run_as()? {
            let owner = Some(crate::op::Owner::login(user));
            ops.push(Op::SetAttributes { path: path.to_owned(), owner, mode: None, recursive: false });
        }
        Ok(ops)
    }

    /// `apt_install` of the field `name`, if it is there.
    pub fn packages(&mut self, name: &str) -> Result<Option<Op>> {
        if self.node(name).is_none() {
            return Ok(None);
        }
        let packages = super::apt_install::packages(self, name)?;
        Ok((!packages.is_empty()).then_some(Op::AptInstall {
            packages,
            debs: Vec::new(),
            recommends: false,
            locked: None,
        }))
    }

    /// The variables of `env`, in their order. Values may hold secrets: commands use them, and no layer keeps them.
    pub fn env(&self) -> Result<Vec<Assignment>> {
        let Some(node) = self.node("env") else { return Ok(Vec::new()) };
        let mapping = node.mapping("env").map_err(|error| error.help("write a line `NAME: value` for each"))?;
        mapping.entries.iter().map(|(key, node)| variable(key, node)).collect()
    }

    /// The user the task runs as; root is `None`.
    pub fn run_as(&self) -> Result<Option<String>> {
        Ok(self.optional("run_as")?.filter(|user| user != "root"))
    }

    /// A command in the environment the blueprint asks for.
    pub fn run(&self, command: Command, user: Option<String>, extra: &[(&str, &str)]) -> Op {
        let mut env: BTreeMap<String, String> = self.task.env.clone();
        env.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Op::Run { command, user, env, cwd: None }
    }

    /// Notes one error of several.
    pub fn fail(&mut self, error: Diagnostic) {
        self.warnings.push(error);
    }

    /// Notes a warning, which is an error under `--strict`.
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic.strictly(self.task.strict));
    }
}

/// A variable of an environment, and its value; references in it are read, and not followed.
pub fn variable(key: &Key, node: &Node) -> Result<Assignment> {
    let name = &key.text;
    if name.is_empty() || name.contains(['=', '\0']) {
        let message = format!("`{name}` cannot be the name of a variable");
        return Err(Diagnostic::error("variable", key.span, message).help("write `NAME: value`"));
    }
    let text = if node.is_null() { "" } else { node.text(name)? };
    EnvValue::read(text).map_err(|message| {
        let error = Diagnostic::error("reference", node.span, format!("{message}, in the value of `{name}`"));
        error.help("write `\\$` for a dollar that stands for itself")
    })?;
    Ok((name.clone(), text.to_owned()))
}

/// A URL, or a file of the blueprint.
fn one_download(name: &str, url: &Node, sha256: Option<&Node>) -> Result<Source> {
    let text = url.text(&entry_of(name))?.trim();
    if text.contains("://") {
        return download(url, sha256);
    }
    let wrong = |message: String| Diagnostic::error("path", url.span, message);
    let help = "write `https://HOST/PATH`, or name a file in the blueprint's directory, relative to it";
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if text.starts_with('/') || parts.is_empty() || parts.contains(&"..") {
        return Err(wrong(format!("`{text}` in `{name}` is neither a URL nor a file of the blueprint")).help(help));
    }
    if sha256.is_some_and(|node| !node.is_null()) {
        return Err(wrong(format!("`{text}` is a file of the blueprint: no `sha256` goes with it"))
            .help("leave `sha256` out: what the file holds counts as it is"));
    }
    Ok(Source::Local { path: parts.join("/") })
}

fn download(url: &Node, sha256: Option<&Node>) -> Result<Source> {
    let text = url.text("url")?.trim().to_owned();
    let wrong = |message: &str| Diagnostic::error("url", url.span, message);
    match text.split_once("://").map(|(scheme, _)| scheme) {
        Some("file") => {}
        Some("http" | "https") => {
            // The value of a secret may be any part of it.
            let known: String = Secrets::without_logins(&text)
                .split('\0')
                .enumerate()
                .map(|(i, part)| if i % 2 == 0 { part } else { "x" })
                .collect();
            let host = known.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
            if host.is_none_or(str::is_empty) {
                return Err(wrong("`url` has no host").help("write `https://HOST/PATH`"));
            }
            if let Err(error) = url::Url::parse(&known) {
                return Err(wrong("`url` is not a URL").label(error.to_string()).help("write `https://HOST/PATH`"));
            }
        }
        _ => {
            return Err(wrong("`url` must be an http or https URL")
                .help("write `https://…`; `file:` URLs work too, under `--allow-file-urls`"));
        }
    }
    let sha256 = sha256.filter(|node| !node.is_null()).map(self::sha256);
    Ok(Source::Url { url: text, sha256: sha256.transpose()? })
}

/// A digest.
pub(super) fn sha256(node: &Node) -> Result<Digest> {
    let text = node.text("sha256")?.trim();
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(digits).map_err(|_| {
        let label = match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            _ if digits.is_empty() => "nothing".to_owned(),
            Some(c) => format!("`{c}` is no such digit"),
            None => format!("{} digits", digits.chars().count()),
        };
        Diagnostic::error("sha256", node.span, "`sha256` must be 64 hexadecimal digits")
            .label(label)
            .help("take it from `sha256sum FILE`")
    })
}

/// An absolute path in its shortest form, or what is wrong with it, and what helps.
pub fn absolute_path(text: &str) -> std::result::Result<String, (String, &'static str)> {
    if text.starts_with('~') {
        return Err((format!("is `{text}`: `~` has no meaning here"), "write the home directory out"));
    }
    if !text.starts_with('/') {
        return Err((format!("must be an absolute path, not `{text}`"), "begin it with `/`"));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err((format!("must not hold `..`: `{text}`"), "write the path it leads to"));
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_their_shortest_form() {
        assert_eq!(absolute_path("/opt//x/./y/").unwrap(), "/opt/x/y");
        assert_eq!(absolute_path("/").unwrap(), "/");
        for bad in ["opt/x", "~/x", "/opt/../etc", ""] {
            assert!(absolute_path(bad).is_err(), "{bad}");
        }
    }
}

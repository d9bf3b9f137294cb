//! `python_package`: one package from PyPI.

use super::FieldKind::Text;
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "python_package",
    summary: "One package from PyPI, by pip3",
    fields: &[
        Field::required("package", Text, "Its name, with extras if need be"),
        Field::optional("version", Text, "The exact version"),
    ],
    lower,
};

/// Variables of pip. Older pips do not know the option to install beside the distribution's packages (PEP 668), but
/// every pip passes over a variable it does not know. The cache would grow the layer.
const ENV: [(&str, &str); 5] = [
    ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_NO_CACHE_DIR", "1"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
];

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let package = fields.text("package")?.trim().to_owned();
    let version = fields.optional("version")?.map(|version| version.trim().to_owned());
    let fits = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !fits(&package, "._-[],=<>~! ") {
        let span = fields.required("package")?.span;
        return Err(Diagnostic::error("package", span, format!("`{package}` is not the name of a Python package"))
            .help("write `name` or `name[extra]` (PEP 508), and the version in `version`"));
    }
    let requirement = match version {
        Some(version) if fits(&version, "._-+!*") => format!("{package}=={version}"),
        Some(version) => {
            let span = fields.required("version")?.span;
            let error = Diagnostic::error("version", span, format!("`{version}` is not an exact version"));
            return Err(error.help("write one version, such as `1.2.3`"));
        }
        None => package,
    };
    let mut words = vec!["pip3", "install"];
    words.extend(fields.run_as()?.map(|_| "--user"));
    words.push(&requirement);
    let mut run = fields.tool(&words, "/")?;
    if let Op::Run { env, .. } = &mut run {
        env.extend(ENV.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(Lowered { ops: vec![run], written: None })
}

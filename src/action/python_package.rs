//! `python_package`: one package from PyPI.

use super::FieldKind::Text;
use super::{Action, Field, Fields, Lowered};
use crate::op::{ASKED, Language, Op, Pinned, Wanted};
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

/// Says what is missing where there is no pip.
const PIP: &str = r#"command -v pip3 >/dev/null || {
    echo "\`pip3\` is not on the PATH of $USER ($PATH): an earlier task has to install it, \`apt_install\` of python3-pip"
    exit 127
}
"#;

/// Installs what is lent, and nothing else: what a site lends beside it is not asked.
const PINNED: &str = r#"exec pip3 install --find-links "$ALLOY_PACKAGES" "$@""#;

/// Fetches all that the requirement comes to, and what source distributions among it are built with. What the root has
/// already is then left out, since pip would leave it as it is. What another user has installed, an ordinary one cannot
/// take away, and need not: its own stands before it, so it is installed where pip looks for that. What it has itself so
/// far is looked at and not touched.
const ASK: &str = r#"cd "$0" && mkdir files probe || exit
pip3 download --quiet --dest files --log log -- "$1" || exit
python3 - <<'END' || exit
import glob, tarfile, zipfile
try:
    import tomllib as toml
except ImportError:
    try:
        from pip._vendor import tomli as toml
    except ImportError:
        toml = None

def projects(path):
    inner = lambda name: name.count('/') == 1 and name.endswith('/pyproject.toml')
    if path.endswith('.zip'):
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in archive.namelist() if inner(name)]
    with tarfile.open(path) as archive:
        return [archive.extractfile(member).read() for member in archive if member.isfile() and inner(member.name)]

for at, path in enumerate(sorted(glob.glob('files/*'))):
    if path.endswith('.whl'):
        continue
    requires = ['setuptools>=40.8.0', 'wheel']
    for text in projects(path) if toml else []:
        requires = toml.loads(text.decode()).get('build-system', {}).get('requires', requires)
    # setuptools asks for it, whatever the project says.
    if any(word.startswith('setuptools') for word in requires):
        requires = requires + ['wheel']
    with open('requires.%d' % at, 'w') as file:
        file.write('\n'.join(requires) + '\n')
END
for requires in requires.*; do
    test ! -f "$requires" || pip3 download --quiet --dest files --log log -r "$requires" || exit
done
export PIP_FIND_LINKS=
install() { pip3 install --quiet --no-warn-script-location --find-links files "$@"; }
if test "$2" = --user; then
    own=$(python3 -c 'import site; print(site.getusersitepackages())') || exit
    export PYTHONPATH="$own${PYTHONPATH:+:$PYTHONPATH}" PYTHONUSERBASE="$0/probe"
    install --no-index --user -- "$1" || install --user -- "$1" || exit
else
    install --no-index --prefix "$0/probe" -- "$1" || install --prefix "$0/probe" -- "$1" || exit
fi
find probe -name '*.dist-info' -o -name '*.egg-info' > installed"#;

/// True for a name with extras, and with what it says of versions unless that is `pinned` (PEP 508; PEP 440, "Version
/// specifiers").
fn is_requirement(text: &str, pinned: bool) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let (name, rest) = text.split_at(text.find(|c| !name(c)).unwrap_or(text.len()));
    let rest = rest.trim_start();
    let (extras, rest) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((extras, rest)) => (extras, rest.trim_start()),
            None => return false,
        },
        None => ("", rest),
    };
    let is_version = |clause: &str| {
        let version = clause.trim().trim_start_matches(['=', '<', '>', '~', '!']);
        version.len() < clause.trim().len()
            && version.trim().starts_with(|c: char| c.is_ascii_alphanumeric())
            && version.trim().chars().all(|c| c.is_ascii_alphanumeric() || "._-+!*".contains(c))
    };
    let ends = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.ends_with(['.', '_', '-']);
    let extra = |extra: &str| extra.trim().chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    ends(name) && extras.split(',').all(extra) && (rest.is_empty() || !pinned && rest.split(',').all(is_version))
}

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let package = fields.text("package")?.trim().to_owned();
    let version = fields.optional("version")?.map(|version| version.trim().to_owned());
    let fits = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !is_requirement(&package, version.is_some()) {
        let span = fields.required("package")?.span;
        return Err(Diagnostic::error("package", span, format!("`{package}` is not the name of a Python package"))
            .help("write `name` or `name[extra]` (PEP 508), and the version in `version` alone"));
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
    let user = fields.run_as()?.map(|_| "--user");
    let mut words = vec!["pip3", "install"];
    words.extend(user);
    words.push(&requirement);
    let run = tool(fields, &words, &ENV)?;
    let (pinned, ask) = ([PIP, PINNED].concat(), [PIP, ASK].concat());
    let mut words = vec!["sh", "-c", &pinned, "pip3"];
    words.extend(user);
    // Neither is read where it is empty.
    let alone = [("PIP_CONFIG_FILE", ""), ("PIP_FIND_LINKS", "")];
    let pinned = tool(fields, &words, &[&ENV[..], &alone].concat())?;
    let mut asking = fields.own_directory(ASKED)?;
    let mut words = vec!["sh", "-c", &ask, ASKED, &requirement];
    words.extend(user);
    asking.push(tool(fields, &words, &ENV)?);
    fields.wanted = Some(Wanted {
        language: Language::Python,
        asked: vec![requirement],
        ask: asking,
        pinned: vec![Op::Lend { files: Vec::new(), network: false }, pinned],
        locked: Pinned::No,
    });
    Ok(Lowered { ops: vec![run], written: None })
}

fn tool(fields: &Fields<'_>, words: &[&str], variables: &[(&str, &str)]) -> Result<Op, Diagnostic> {
    let mut run = fields.tool(words, "/")?;
    if let Op::Run { env, .. } = &mut run {
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_a_name_with_extras_and_versions() {
        for good in ["six", "ruamel.yaml", "west[all]", "a [x, y-z]", "six>=1.0", "six >=1.0, !=1.5.*, <2", "a[b]~=1.2"]
        {
            assert!(is_requirement(good, false), "{good}");
        }
        let bad = [
            "",
            "a b",
            "six --user",
            "six[",
            "six]",
            "six==",
            "six,six",
            "-r x",
            "six=1=",
            "a[b]c",
            "six>=1,,<2",
            "a_",
        ];
        for bad in bad {
            assert!(!is_requirement(bad, false), "{bad}");
        }
        assert!(is_requirement("six[a]", true) && !is_requirement("six==1.16.0", true));
    }
}

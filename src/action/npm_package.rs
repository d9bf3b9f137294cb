//! `npm_package`: one package from npm's registry, with its programs.

use super::FieldKind::{Flag, Text};
use super::{Action, Field, Fields, Lowered};
use crate::op::{ASKED, Language, Op, PRIVATE, Pinned, Wanted, is_exact_version};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "npm_package",
    summary: "One package from npm's registry, by npm, which must be there; for everybody where root does it",
    fields: &[
        Field::required("package", Text, "`name` or `@scope/name`"),
        Field::optional("version", Text, "The exact version; without it the lockfile pins one"),
        Field::optional("scripts", Flag, "Run the packages' install scripts; true if missing"),
    ],
    lower,
};

/// Not part of a layer.
const PLACE: &str = PRIVATE[3];

/// What both ways begin with: npm keeps what it needs on the way out of the layer, and installs for everybody, or for a
/// user whom that place does not belong to in `~/.local`.
const BEGIN: &str = r#"command -v npm >/dev/null || {
    echo "\`npm\` is not on the PATH of $USER ($PATH): an earlier task has to install it, \`apt_install\` of npm"
    exit 127
}
export npm_config_cache="$0/cache" npm_config_devdir="$0/gyp"
prefix=$(npm prefix -g) || exit
if [ "$(id -u)" != 0 ] && ! { mkdir -p "$prefix/lib/node_modules" "$prefix/bin" && [ -w "$prefix/lib/node_modules" ] && [ -w "$prefix/bin" ]; } 2>/dev/null
then prefix=$HOME/.local; fi
export npm_config_prefix="$prefix" npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false
# The registries of the site that builds, if it has its own; of two lines for one thing the last counts.
if [ -f /run/alloy/npmrc ]; then
    (umask 077; cat "${npm_config_userconfig:-$HOME/.npmrc}" /run/alloy/npmrc > "$0/npmrc" 2>/dev/null)
    export npm_config_userconfig="$0/npmrc"
fi
"#;

const FREE: &str = r#"exec npm install -g "$@""#;

/// Lays packages out as `npm install -g` does, what was there replaced whole, and has npm run their scripts and link
/// their programs. Its words are the package, npm's option for scripts, and a path and a file for each package.
const INSTALL: &str = r#"name=$1 scripts=$2 global=$prefix/lib/node_modules
shift 2
export npm_config_offline=true
mkdir -p "$global" || exit
if [ -e "$global/$name" ]; then npm uninstall -g "$name" >/dev/null || exit; fi
rm -rf "${global:?}/$name" || exit
while [ $# -gt 0 ]; do
    # Lockfiles once had what a package needs beside it at the top, where it is in the way of what others ask for.
    case $1 in
        "$name" | "$name"/*) place=$global/$1 ;;
        *) place=$global/$name/node_modules/$1 ;;
    esac
    mkdir -p "$place" &&
        tar -xzf "$ALLOY_PACKAGES/$2" -C "$place" --strip-components=1 --no-same-owner --no-same-permissions &&
        # As npm does it: links would lead the packages within elsewhere.
        find "$place" ! -type f ! -type d -delete || exit
    shift 2
done
chmod -R u+rwX,go+rX "$global/$name" || exit
if [ -d "$global/$name/node_modules" ]; then (cd "$global/$name" && npm rebuild "$scripts") || exit; fi
exec npm rebuild -g "$scripts" "$name""#;

/// Finds out what the package comes to, in the layout of global packages. Nothing is installed.
const ASK: &str = r#"cd "$0" && echo '{}' > package.json || exit
export npm_config_omit_lockfile_registry_resolved=false
exec npm install --package-lock-only --ignore-scripts --install-strategy=shallow --global-style "$1""#;

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let package = fields.text("package")?.trim().to_owned();
    if !is_name(&package) {
        let span = fields.required("package")?.span;
        return Err(Diagnostic::error("package", span, format!("`{package}` is not the name of a package of npm"))
            .help("write `name` or `@scope/name`, and the version in `version`"));
    }
    let version = fields.optional("version")?.map(|version| version.trim().to_owned());
    let asked = match version {
        Some(version) if is_exact_version(&version) => format!("{package}@{version}"),
        Some(version) => {
            let span = fields.required("version")?.span;
            let error = Diagnostic::error("version", span, format!("`{version}` is not an exact version"));
            return Err(
                error.help("write one version, such as `1.2.3`; without `version`, `alloy lock` pins the newest")
            );
        }
        None => package.clone(),
    };
    let scripts = fields.node("scripts").is_none() || fields.flag("scripts")?;
    let scripts = if scripts { "--ignore-scripts=false" } else { "--ignore-scripts=true" };
    let [free, install, ask] = [FREE, INSTALL, ASK].map(|script| [BEGIN, script].concat());
    let around = |fields: &Fields<'_>, run: Vec<Op>| {
        let mut ops = fields.own_directory(PLACE)?;
        ops.extend(run);
        ops.push(Op::Remove { path: PLACE.to_owned() });
        Ok::<_, Diagnostic>(ops)
    };
    let install = fields.tool(&["sh", "-c", &install, PLACE, &package, scripts], "/")?;
    let lend = Op::Lend { files: Vec::new(), network: false };
    let mut asking = fields.own_directory(ASKED)?;
    asking.push(fields.tool(&["sh", "-c", &ask, ASKED, &asked], "/")?);
    let wanted = Wanted {
        language: Language::Npm,
        asked: vec![asked.clone()],
        ask: asking,
        pinned: around(fields, vec![lend, install])?,
        locked: Pinned::No,
    };
    fields.wanted = Some(wanted);
    let free = fields.tool(&["sh", "-c", &free, PLACE, scripts, &asked], "/")?;
    Ok(Lowered { ops: around(fields, vec![free])?, written: None })
}

/// The rules of npm for new names, and the capitals that old ones have (package.json, "name").
fn is_name(text: &str) -> bool {
    let fits = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
    };
    let parts = match text.strip_prefix('@') {
        Some(rest) => rest.split_once('/'),
        None => Some(("scope", text)),
    };
    text.len() <= 214 && parts.is_some_and(|(scope, name)| fits(scope) && fits(name))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions() {
        for good in ["cowsay", "@angular/cli", "JSONStream", "socket.io"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "@a", "@a/", "a/b", "-g", "a@1", "../x", "git+https://x", "a b", "@a/b/c", ".x"] {
            assert!(!is_name(bad), "{bad}");
        }
        for good in ["1.2.3", "1.2.3-rc.1", "1.2.3+build"] {
            assert!(is_exact_version(good), "{good}");
        }
        for bad in ["", "1", "1.2", "^1.2.3", "latest", "1.2.x", "1.2.3 || 2", ">=1.0.0", "1..2"] {
            assert!(!is_exact_version(bad), "{bad}");
        }
    }
}

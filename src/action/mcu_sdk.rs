//! `mcu_sdk`: a vendor's SDK, by west or git.

use super::FieldKind::{OneOf, Path, Text, Texts, Url, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

/// A workspace of the commit `$1`, as if `$2` still were that commit. west asks for branches and tags by their names, and
/// for nothing else: it gets a repository in which they are what they were. What west says then is about the real one.
const PINNED: &str = "\
if ! command -v west >/dev/null; then
    echo \"\\`west\\` is not on the PATH of $USER ($PATH): an earlier task has to install it\"
    exit 127
fi
pinned=$PWD/.alloy-pinned.git
git clone --quiet --bare -- \"$0\" \"$pinned\" && cd \"$pinned\" || exit
if ! git cat-file -e \"$1^{commit}\" 2>/dev/null && ! git fetch --quiet -- \"$0\" \"$1\"; then
    echo \"$0 has no commit $1, which \\`$2\\` is pinned to; \\`alloy lock --update=$0\\` pins what it is now\"
    exit 1
fi
found=
for name in \"refs/heads/$2\" \"refs/tags/$2\"; do
    if git show-ref --quiet --verify \"$name\"; then git update-ref \"$name\" \"$1\" && found=1 || exit; fi
done
test -n \"$found\" || git update-ref \"refs/tags/$2\" \"$1\" || exit
cd \"$OLDPWD\" && west init -m \"$pinned\" --mr \"$2\" . && rm -rf \"$pinned\" || exit
cd \"$(west config manifest.path)\" && git remote set-url origin \"$0\" && test \"$(git rev-parse HEAD)\" = \"$1\"";

const METHODS: &[&str] = &["west", "git"];

pub(super) static ACTION: Action = Action {
    name: "mcu_sdk",
    summary: "A vendor's SDK: a west workspace, or a git repository with its submodules; with `owner`, git of that user works in it (\"dubious ownership\")",
    fields: &[
        Field::required("method", OneOf(METHODS), "By which tool; it must be there"),
        Field::required("url", Url, "The repository"),
        Field::required("version", Text, "Commit, tag or branch"),
        Field::required("dest", Path, "The directory to make"),
        Field::optional("file", Text, "An installer of the SDK, relative to `dest`, run at the end"),
        Field::optional("install_args", Words, "Its arguments"),
        Field::optional("packages", Texts, "Packages of the distribution, installed first"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let method = fields.one_of("method", METHODS)?;
    fields.required("url")?;
    fields.required("version")?;
    let url = fields.git_word("url")?.unwrap_or_default();
    let version = fields.git_word("version")?.unwrap_or_default();
    let dest = fields.path("dest")?;
    let mut ops: Vec<Op> = fields.packages("packages")?.into_iter().collect();
    if method == "west" {
        ops.extend(fields.own_directory(&dest)?);
        ops.push(match fields.checkout(&url, Some(&version)) {
            Some(commit) => {
                let name = if commit.eq_ignore_ascii_case(&version) { "pinned" } else { version.as_str() };
                fields.git_tool(&["sh", "-c", PINNED, &url, &commit, name], &dest)?
            }
            None => fields.git_tool(&["west", "init", "-m", &url, "--mr", &version, "."], &dest)?,
        });
        ops.push(fields.git_tool(&["west", "update"], &dest)?);
    } else {
        ops.extend(fields.git(&url, Some(&version), &dest)?);
    }
    let arguments = fields.words("install_args")?;
    if let Some(file) = fields.optional("file")? {
        let program = format!("./{}", file.trim_start_matches("./"));
        let mut words = vec![program.as_str()];
        words.extend(arguments.iter().map(String::as_str));
        ops.push(fields.git_tool(&words, &dest)?);
    }
    ops.push(fields.git_timeless(&dest)?);
    Ok(Lowered { ops, written: Some(dest) })
}

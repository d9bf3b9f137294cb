//! `rust_package`: one crate, by cargo.

use super::FieldKind::{Text, Words};
use super::{Action, Field, Fields, Lowered};
use crate::op::{ASKED, Language, Op, PRIVATE, Pinned, Secrets, Wanted, is_exact_version};
use crate::yaml::Diagnostic;

pub(super) static ACTION: Action = Action {
    name: "rust_package",
    summary: "One crate, built and installed by cargo, which must be there; for everybody where root does it",
    fields: &[
        Field::required("package", Text, "Its name"),
        Field::required("version", Text, "The exact version"),
        Field::optional("features", Words, "Features to switch on"),
    ],
    lower,
};

/// Not part of a layer.
const PLACE: &str = PRIVATE[1];

/// Installs where cargo would, by its own rules (`cargo help install`), unless nobody would find it there: root's programs
/// are then for everybody, in /usr/local. It keeps what it downloads and what it
/// compiles on the way elsewhere: neither is wanted in the layer, and paths that programs are built in get into them.
const INSTALL: &str = "\
command -v cargo >/dev/null || {
    echo \"\\`cargo\\` is not on the PATH of $USER ($PATH): an earlier task has to install it\"
    exit 127
}
own=${CARGO_HOME:-$HOME/.cargo}
place=$own
case :$PATH: in
    *:\"$own/bin\":*) ;;
    *) if [ \"$(id -u)\" = 0 ]; then place=/usr/local; fi ;;
esac
export CARGO_INSTALL_ROOT=\"${CARGO_INSTALL_ROOT:-$place}\" CARGO_HOME=$0 CARGO_TARGET_DIR=$0/target
for file in config config.toml credentials.toml; do
    if [ -f \"$own/$file\" ]; then cp \"$own/$file\" \"$0\" || exit; fi
done
";

const FREE: &str = "\
# The registries of the site that builds, if it has its own.
if [ -f /run/alloy/cargo.toml ]; then set -- --config /run/alloy/cargo.toml \"$@\"; fi
exec cargo install --locked \"$@\"";

/// The same from crates that are lent, in place of the registry.
const PINNED: &str = "\
mkdir \"$0/crates\" && cd \"$0/crates\" || exit
# As cargo does it: files and directories of its own are all that a crate brings.
for file in \"$ALLOY_PACKAGES\"/*.crate; do
    name=${file##*/} name=${name%.crate}
    sum=$(sha256sum \"$file\") && mkdir \"$name\" &&
        tar -xzf \"$file\" -C \"$name\" --strip-components=1 --no-same-owner --no-same-permissions -- \"$name\" || exit
    odd=$(find \"$name\" ! -type f ! -type d | head -n 1)
    if [ -n \"$odd\" ]; then echo \"ERROR: the crate $name has \\`$odd\\`, which is neither file nor directory\"; exit 1; fi
    printf '{\"files\":{},\"package\":\"%s\"}' \"${sum%% *}\" > \"$name/.cargo-checksum.json\" || exit
done
cd /
exec cargo install --locked --offline --config 'source.crates-io.replace-with=\"alloy\"' \\
    --config \"source.alloy.directory=\\\"$0/crates\\\"\" \"$@\"";

/// Finds out what a crate without a `Cargo.lock` is built of today. The crate is lent.
const ASK: &str = "\
if [ -f /run/alloy/cargo.toml ]; then set -- --config /run/alloy/cargo.toml; else set --; fi
mkdir \"$0/source\" && cd \"$0/source\" || exit
tar -xzf \"$ALLOY_PACKAGES/asked.crate\" --no-same-owner --strip-components=1 || exit
cargo generate-lockfile \"$@\" && cp Cargo.lock \"$0\"";

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    fields.required("package")?;
    fields.required("version")?;
    let package = fields.git_word("package")?.unwrap_or_default();
    let version = fields.git_word("version")?.unwrap_or_default();
    if !is_exact_version(&version) && !Secrets::in_text(&version) {
        let span = fields.required("version")?.span;
        let warning = Diagnostic::warning("version", span, format!("`{version}` is not an exact version"));
        fields.warn(warning.help("write one version, such as `1.2.3`: no lockfile pins a range"));
    }
    let features = fields.words("features")?.join(",");
    let mut words = vec!["--version", &version];
    if !features.is_empty() {
        words.extend(["--features", &features]);
    }
    words.push(&package);
    let lend = || Some(Op::Lend { files: Vec::new(), network: false });
    let way = |script: &str, place: &str, lend: Option<Op>| {
        let script = [INSTALL, script].concat();
        let mut ops = fields.own_directory(place)?;
        ops.extend(lend);
        ops.push(fields.tool(&[&["sh", "-c", &script, place][..], &words].concat(), "/")?);
        Ok::<_, Diagnostic>(ops)
    };
    let remove = || Op::Remove { path: PLACE.to_owned() };
    let (mut ops, mut pinned) = (way(FREE, PLACE, None)?, way(PINNED, PLACE, lend())?);
    ops.push(remove());
    pinned.push(remove());
    let ask = way(ASK, ASKED, lend())?;
    fields.wanted = Some(Wanted {
        language: Language::Rust,
        asked: vec![format!("{package}@{version}")],
        ask,
        pinned,
        locked: Pinned::No,
    });
    Ok(Lowered { ops, written: None })
}

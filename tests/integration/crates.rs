//! Crates in a lockfile: what the index says of them, what they are built of, and that each brings its own files alone.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::languages::{MANIFEST, built_twice, cut_off, lockfile};
use crate::support::files::Files;
use crate::support::{Ended, blueprint, run, shared, text};

/// A registry with a tool that has no `Cargo.lock`, one that has, and the library that both are built of.
pub(crate) const CRATES: &str = r#"
crate() {
    tar -czf crates/$1-$2.crate $1-$2
    mkdir -p index/ti/ny
    echo "{\"name\":\"$1\",\"vers\":\"$2\",\"deps\":[$3],\"cksum\":\"$(sha256sum crates/$1-$2.crate | cut -d' ' -f1)\",\"features\":{},\"yanked\":false}" >> index/ti/ny/$1
}
package() { mkdir -p $1-$2/src; printf '[package]\nname = "%s"\nversion = "%s"\nedition = "2021"\n' $1 $2 > $1-$2/Cargo.toml; }
mkdir -p crates home
for version in 1.0.0 1.1.0; do
    package tiny-dep $version
    echo "pub fn said() -> &'static str { \"$version\" }" > tiny-dep-$version/src/lib.rs
    crate tiny-dep $version ''
done
dep='{"name":"tiny-dep","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}'
for name in tiny-old tiny-new; do
    package $name 2.0.0
    printf '[dependencies]\ntiny-dep = "1"\n' >> $name-2.0.0/Cargo.toml
    echo 'fn main() { println!("{}", tiny_dep::said()) }' > $name-2.0.0/src/main.rs
done
cat > tiny-new-2.0.0/Cargo.lock <<END
version = 3

[[package]]
name = "tiny-dep"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "$(sha256sum crates/tiny-dep-1.0.0.crate | cut -d' ' -f1)"

[[package]]
name = "tiny-new"
version = "2.0.0"
dependencies = ["tiny-dep"]
END
crate tiny-old 2.0.0 "$dep"; crate tiny-new 2.0.0 "$dep"
"#;

/// Crates that cargo refuses, or that no lockfile can name.
const ODD: &str = r#"
own() {
    package $1 1.0.0; echo 'fn main() { println!("{}", tiny_dep::said()) }' > $1-1.0.0/src/main.rs
    printf '[dependencies]\ntiny-dep = "1"\n' >> $1-1.0.0/Cargo.toml
    sed "s/tiny-new/$1/; s/\"2.0.0\"/\"1.0.0\"/" tiny-new-2.0.0/Cargo.lock > $1-1.0.0/Cargo.lock
}
odd() { crate $1 1.0.0 "$dep"; }
own tiny-lying; odd tiny-lying; sed -i 's/"cksum":"[0-9a-f]*"/"cksum":"'$(printf %064d 0)'"/' index/ti/ny/tiny-lying
own tiny-yanked; odd tiny-yanked; sed -i 's/"yanked":false/"yanked":true/' index/ti/ny/tiny-yanked
own tiny-far; sed -i 's,name = "tiny-dep",name = "../../../tiny-dep",' tiny-far-1.0.0/Cargo.lock; odd tiny-far
# Brings the sources of another one along; a link in the place of the file with its digest.
own tiny-thief; mkdir -p tiny-dep-1.0.0/src; echo 'pub fn said() -> &'"'"'static str { "HIJACKED" }' > tiny-dep-1.0.0/src/lib.rs
tar -czf crates/tiny-thief-1.0.0.crate tiny-thief-1.0.0 tiny-dep-1.0.0/src/lib.rs
tar() { :; }; odd tiny-thief; unset -f tar
own tiny-link; ln -s /etc/written tiny-link-1.0.0/.cargo-checksum.json; odd tiny-link
"#;

/// Such a registry, and what leads cargo and alloy to it.
struct Crates {
    files: Files,
    dl: String,
    home: PathBuf,
}

/// Makes the directory `index` of `files` an index, and gives the home of a cargo that takes its crates from there.
pub(crate) fn index(files: &Files) -> PathBuf {
    let (dl, home) = (files.url("crates/{crate}-{version}.crate"), files.path().join("home"));
    std::fs::write(files.path().join("index/config.json"), format!("{{\"dl\": \"{dl}\"}}")).unwrap();
    let site = format!(
        "[source.crates-io]\nreplace-with = 'site'\n[source.site]\nregistry = 'sparse+{}'\n",
        files.url("index/")
    );
    std::fs::write(home.join("config.toml"), site).unwrap();
    home
}

impl Crates {
    fn serve(scripts: &str) -> Self {
        let files = Files::serve();
        files.script(scripts);
        Self { dl: files.url("crates/{crate}-{version}.crate"), home: index(&files), files }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(shared().alloy(arguments).env("CARGO_HOME", &self.home))
    }
}

/// cargo, in a layer that tests share.
pub(crate) const CARGO: &str = "- {name: tools, action: apt_install, packages: [ca-certificates, cargo]}\n\
                     - {name: user, action: run_command, reason: test, command: useradd -m -s /bin/bash dev}\n";

/// A blueprint with cargo and `tasks`.
fn with_cargo(tasks: &str) -> TempDir {
    let manifest =
        MANIFEST.replace("[tasks.yml]", "[tools.yml, tasks.yml]").replace("{env", "{base: 'deb:trixie', env");
    blueprint(&[("manifest.yml", &manifest), ("tools.yml", CARGO), ("tasks.yml", tasks)])
}

#[test]
fn crates_are_built_of_what_their_own_lockfile_says() {
    let crates = Crates::serve(CRATES);
    let tasks = "- {name: old, action: rust_package, package: tiny-old, version: 2.0.0}\n\
                 - {name: new, action: rust_package, package: tiny-new, version: 2.0.0, run_as: dev}\n";
    let blueprint = with_cargo(tasks);
    let path = text(blueprint.path());
    crates.run(&["lock", path]).ok();
    let written = lockfile(blueprint.path());
    let pins =
        |task: &str| written.split(&format!("tasks.yml: {task}\":")).nth(1).unwrap().split("tasks.yml").next().unwrap();
    assert!(written.contains("\nrust:\n  linux/") && written.contains("packages: [tiny-old@2.0.0]\n"), "{written}");
    assert!(pins("old").contains("- {name: tiny-dep, version: \"1.1.0\", url: http://"), "what is newest: {written}");
    assert!(pins("new").contains("- {name: tiny-dep, version: \"1.0.0\", url: http://"), "what it says: {written}");
    // A newer one changes nothing.
    let newer = r#"{"name":"tiny-dep","vers":"1.2.0","deps":[],"cksum":"00","features":{},"yanked":false}"#;
    crates.files.script(&format!("echo '{newer}' >> index/ti/ny/tiny-dep"));
    cut_off(&["lock", path, "--check"]).ok();
    built_twice(blueprint.path(), "crates-locked");
    let script = "tiny-old; su dev -c '~/.cargo/bin/tiny-new'; grep -c registry+ /usr/local/.crates2.json";
    let said = shared().run(&["run", "crates-locked", "--", "bash", "-c", script]).ok().stdout;
    assert_eq!(said, "1.1.0\n1.0.0\n1\n");
    let sbom = shared().run(&["sbom", "crates-locked"]).ok().stdout;
    assert!(sbom.contains("pkg:cargo/tiny-old@2.0.0") && sbom.contains("pkg:cargo/tiny-new@2.0.0"), "{sbom}");
    assert!(sbom.contains("pkg:cargo/tiny-dep@1.0.0") && sbom.contains("pkg:cargo/tiny-dep@1.1.0"), "{sbom}");
    assert!(
        sbom.contains(&crates.dl.replace("{crate}-{version}", "tiny-dep-1.0.0")) && !sbom.contains("pkg:generic/"),
        "{sbom}"
    );
    let said = crates.run(&["outdated", path]).ok().stdout;
    assert!(!said.contains("tiny-dep"), "it moves with what is built of it: {said}");
}

#[test]
fn what_the_index_says_of_a_crate_holds() {
    let crates = Crates::serve(&[CRATES, ODD].concat());
    let task = |package: &str, version: &str| {
        format!("- {{name: it, action: rust_package, package: {package}, version: {version}}}\n")
    };
    for (package, version, code, wanted) in [
        ("tiny-lying", "1.0.0", 4, "is not what it should be"),
        ("tiny-yanked", "1.0.0", 4, "no longer gives tiny-yanked 1.0.0: it was yanked"),
        ("tiny-new", "9.9.9", 4, "has no tiny-new 9.9.9; it has 2.0.0"),
        ("tiny-none", "1.0.0", 4, "has no crate `tiny-none`"),
        ("tiny-new", "^2", 0, "`^2` is not an exact version of tiny-new"),
        ("tiny-far", "1.0.0", 0, "`../../../tiny-dep` is not the name of a package"),
    ] {
        let blueprint = with_cargo(&task(package, &format!("'{version}'")));
        let said = crates.run(&["lock", text(blueprint.path())]);
        assert_eq!(said.code, Some(code), "{package} {version}: {}", said.stderr);
        assert!(said.stderr.contains(wanted), "{package} {version}: {}", said.stderr);
        let checked = shared().run(&["check", text(blueprint.path())]);
        assert_eq!(checked.code, Some(0), "the lockfile can be read: {}", checked.stdout);
        assert_eq!(checked.stdout.contains("is not an exact version"), version == "^2", "{}", checked.stdout);
    }
}

#[test]
fn a_crate_brings_its_own_files_alone() {
    let crates = Crates::serve(&[CRATES, ODD].concat());
    let blueprint = with_cargo("- {name: it, action: rust_package, package: tiny-thief, version: 1.0.0}\n");
    let path = text(blueprint.path());
    crates.run(&["lock", path]).ok();
    shared().run(&["build", path, "--locked", "-t", "crates-thief"]).ok();
    assert_eq!(shared().run(&["run", "crates-thief", "--", "tiny-thief"]).ok().stdout, "1.0.0\n");
    let tasks = "- {name: it, action: rust_package, package: tiny-link, version: 1.0.0}\n";
    std::fs::write(blueprint.path().join("tasks.yml"), tasks).unwrap();
    crates.run(&["lock", path]).ok();
    let said = shared().run(&["build", path, "--locked"]).fails(1).stderr;
    assert!(said.contains("`tiny-link-1.0.0/.cargo-checksum.json`, which is neither file nor directory"), "{said}");
}

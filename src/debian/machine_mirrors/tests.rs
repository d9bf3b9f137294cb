use std::fs;

use super::*;

const TEMPLATE: &str = "\
# A comment
ChangelogURI: http://changes.example.org/%s

Suite: devel
RepositoryType: deb
BaseURI: http://devel.example.org/other/

Suite: {series}
RepositoryType: deb-src
BaseURI: http://sources.example.org/u

Suite: {series}
Official: false
RepositoryType: deb
BaseURI: http://partners.example.org

Suite: {series}
RepositoryType: deb
BaseURI: cdrom:\\[Disc.*{version}
Available: False

Suite: {series}
RepositoryType: deb
BaseURI: https://ports.example.org/u-ports/
BaseURI-amd64: http://main.example.org/u
Component: main

Suite: {series}-security
ParentSuite: {series}
RepositoryType: deb
BaseURI: http://ports.example.org/u-ports/
BaseURI-amd64: https://security.example.org/u/
";

const SCRIPT: &str = "\
# shellcheck shell=sh
if command -v info >/dev/null; then
	if info | grep -q \"$SUITE\"; then
		supported=true
	else
		supported=false
	fi
fi
helper () {
	default_mirror http://function.example.org/u
}
if [ \"$supported\" = true ]; then
	case \"$ARCH\" in
	  amd64|i386)
		case $SUITE in
		  ancient|older)
			default_mirror http://old.example.org/u
		  ;;
		  *)
			default_mirror http://main.example.org/u
		;;
		esac
		;;
	  *)
		default_mirror http://ports.example.org/u-ports
		;;
	esac
else
	default_mirror http://gone.example.org/u
fi
case $OTHER in
  *) default_mirror http://unknown.example.org/u ;;
esac
";

fn usr(files: &[(&str, &str)]) -> tempfile::TempDir {
    let usr = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = usr.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    usr
}

fn found(usr: &tempfile::TempDir, suite: &str, distribution: Distribution, arch: &str) -> Option<(String, String)> {
    let known = known(usr.path(), suite, distribution, arch)?;
    Some((known.uri, known.security.unwrap_or_default()))
}

fn pair(main: &str, security: &str) -> Option<(String, String)> {
    Some((main.to_owned(), security.to_owned()))
}

#[test]
fn a_template_names_archives_by_architecture() {
    // Newer releases of the package have the names in lower case.
    for name in ["Ubuntu.info", "ubuntu.info"] {
        let usr = usr(&[(&format!("share/python-apt/templates/{name}"), TEMPLATE)]);
        let of = |suite: &str, arch: &str| found(&usr, suite, Distribution::Ubuntu, arch);
        assert_eq!(of("jammy", "amd64"), pair("http://main.example.org/u", "http://security.example.org/u"));
        assert_eq!(of("jammy", "arm64"), pair("http://ports.example.org/u-ports", ""));
        assert_eq!(of("devel", "amd64"), pair("http://devel.example.org/other", "http://security.example.org/u"));
        assert_eq!(found(&usr, "trixie", Distribution::Debian, "amd64"), None);
    }
}

#[test]
fn a_template_with_a_stanza_for_each_suite_is_read_as_well() {
    let all = ["jammy", "focal"].map(|suite| TEMPLATE.replace("{series}", suite)).concat();
    let usr = usr(&[("share/python-apt/templates/Ubuntu.info", &all)]);
    let of = |suite: &str| found(&usr, suite, Distribution::Ubuntu, "amd64");
    assert_eq!(of("focal"), pair("http://main.example.org/u", "http://security.example.org/u"));
    assert_eq!(of("noble"), None);
}

#[test]
fn debians_security_lies_beside_its_archive() {
    let text = TEMPLATE.replace("BaseURI-amd64", "X-None");
    let usr = usr(&[("share/python-apt/templates/Debian.info", &text)]);
    assert_eq!(found(&usr, "trixie", Distribution::Debian, "amd64"), pair("http://ports.example.org/u-ports", ""));
}

#[test]
fn a_script_of_debootstrap_is_read_and_not_run() {
    let usr = usr(&[("share/debootstrap/scripts/gutsy", SCRIPT)]);
    std::os::unix::fs::symlink("gutsy", usr.path().join("share/debootstrap/scripts/jammy")).unwrap();
    let of = |suite: &str, arch: &str| found(&usr, suite, Distribution::Ubuntu, arch);
    assert_eq!(of("jammy", "amd64"), pair("http://main.example.org/u", ""));
    assert_eq!(of("older", "i386"), pair("http://old.example.org/u", ""));
    assert_eq!(of("jammy", "arm64"), pair("http://ports.example.org/u-ports", ""));
    // One that is newer than the package.
    assert_eq!(of("resolute", "amd64"), pair("http://main.example.org/u", ""));
    assert_eq!(of("../sid", "amd64"), pair("http://main.example.org/u", ""));
}

#[test]
fn debians_default_stands_in_the_program() {
    let program = "#!/bin/sh\nset -e\nDEF_MIRROR=\"http://d.example.org/debian\"\nDEF_HTTPS_MIRROR=\"https://x\"\n";
    let usr = usr(&[("sbin/debootstrap", program), ("share/debootstrap/scripts/sid", "keyring /k.gpg\n")]);
    assert_eq!(found(&usr, "trixie", Distribution::Debian, "amd64"), pair("http://d.example.org/debian", ""));
    assert_eq!(found(&usr, "jammy", Distribution::Ubuntu, "amd64"), None);
}

#[test]
fn what_is_no_plain_address_of_an_archive_is_none() {
    for wrong in [
        "",
        "cdrom:[x]/",
        "file:/srv/mirror",
        "ftp://a.example.org/x",
        "http://ann:pw@a.example.org/x",
        "http://a.example.org/x?y",
        "http://",
        "mirror+file:/etc/x",
    ] {
        assert_eq!(archive(wrong), None, "{wrong}");
    }
    assert_eq!(archive("https://a.example.org/x//").unwrap(), "http://a.example.org/x");
    assert_eq!(archive("http://a.example.org").unwrap(), "http://a.example.org");
    // On a port of its own nothing else may listen.
    assert_eq!(archive("https://a.example.org:8443/x/").unwrap(), "https://a.example.org:8443/x");
}

#[test]
fn hostile_files_have_an_end() {
    let deep = "case $ARCH in\n*)\n".repeat(1000) + "default_mirror http://a.example.org/x\n";
    let usr = usr(&[("share/debootstrap/scripts/gutsy", &deep)]);
    assert_eq!(found(&usr, "jammy", Distribution::Ubuntu, "amd64"), None);
    let long = TEMPLATE.to_owned() + &"#".repeat(2 << 20);
    let usr = self::usr(&[("share/python-apt/templates/Ubuntu.info", &long)]);
    assert_eq!(found(&usr, "jammy", Distribution::Ubuntu, "amd64"), None);
    // A line break in a value is none of an address.
    let folded = "Suite: {series}\nRepositoryType: deb\nBaseURI: http://a.example.org/x\n y\n";
    let usr = self::usr(&[("share/python-apt/templates/Ubuntu.info", folded)]);
    assert_eq!(found(&usr, "jammy", Distribution::Ubuntu, "amd64"), None);
}

//! Pins: what `--locked` asks for, and what the lockfile gives.

use crate::support::download::{Downloads, content, sha256};
use crate::support::http::{Server, whole};

const MANIFEST: &str = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml, more.yml]\nimage: {env_from_profile: false}\n\
                        required_env: [{name: SITE_TOKEN}]\ntoolchains:\n";

#[test]
fn all_that_is_not_pinned_is_listed_at_once() {
    let server = Server::start(|_, _, stream| whole(stream, &content(40)));
    let (one, two, pinned) = (server.path("one"), server.path("two"), server.path("pinned"));
    let downloads = Downloads::of_tasks(&format!(
        "- {{name: one, action: get_file, url: '{one}', dest: /srv/one}}\n\
         - {{name: pinned, action: get_file, url: '{pinned}', dest: /srv/p}}\n\
         - {{name: with a secret, action: get_file, url: '{one}?t={{{{.Vars.SITE_TOKEN}}}}', dest: /srv/s}}\n"
    ));
    downloads.write("more.yml", &format!("- name: two\n  action: get_file\n  url: {two}\n  dest: /srv/two\n"));
    downloads.write(
        "manifest.yml",
        &format!("{MANIFEST}- {{ref: toolchain.a.gcc}}\n- {{ref: toolchain.a.missing, alias: M}}\n- {{ref: toolchain.b.missing}}\n"),
    );
    let pin = format!("{{url: '{pinned}', sha256: {}}}", sha256(&content(40)));
    downloads.write(
        "alloy.lock.yml",
        &format!(
            "toolchains:\n  toolchain.a.gcc@stable: {pin}\n  toolchain.a.old@1.0: {pin}\n\
             hosts:\n  linux/arm64: {{toolchains: {{toolchain.a.gcc: {pin}, toolchain.b.old: {pin}}}}}\n\
             downloads:\n  {pinned}: {pin}\n  https://a.example/gone: {pin}\n"
        ),
    );
    let mut command = downloads.command(&["--locked"]);
    let ended = crate::support::run(command.env("SITE_TOKEN", "hunter2-40")).fails(3);
    let expected = [
        "the blueprint has 8 errors",
        "does not pin `toolchain.a.missing`",
        "manifest.yml:8:",
        "does not pin `toolchain.b.missing`",
        "manifest.yml:9:",
        &format!("nothing pins the download of {one}\n"),
        "tasks.yml:1:",
        &format!("nothing pins the download of {one}?t={{{{.Vars.SITE_TOKEN}}}}"),
        "tasks.yml:3:",
        &format!("nothing pins the download of {two}"),
        "more.yml:3:",
        "alloy.lock.yml:3:",
        "alloy.lock.yml:5:",
        "alloy.lock.yml:8:",
        "nothing uses this toolchain of the lockfile",
        "nothing uses this download of the lockfile",
    ];
    for part in expected {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    for other in ["tasks.yml:2:", "manifest.yml:7:", "alloy.lock.yml:2:", "alloy.lock.yml:7:", "hunter2-40"] {
        assert!(!ended.stderr.contains(other), "{other}: {}", ended.stderr);
    }
    assert!(server.asked().is_empty());
}

#[test]
fn the_printed_digest_pins_a_download() {
    let server = Server::start(|_, _, stream| whole(stream, &content(41)));
    let url = format!("{}?t={{{{.Vars.SITE_TOKEN}}}}", server.url());
    let task = format!("- {{name: get, action: get_file, url: '{url}', dest: /srv/0}}\n");
    let downloads = Downloads::of_tasks(&task);
    let build = |more: &[&str]| {
        let given = [&["--var", "SITE_TOKEN=hunter2-41"], more].concat();
        crate::support::run(&mut downloads.command(&given))
    };
    let ended = build(&[]).ok();
    let warning = "tasks.yml:1: the download is not pinned; add `sha256: ";
    let (_, digest) = ended.stderr.split_once(warning).unwrap();
    let digest = &digest[..64];
    assert_eq!(digest, sha256(&content(41)));
    // In the lockfile, under the URL as it is written.
    downloads.write("alloy.lock.yml", &format!("downloads:\n  '{url}': {{sha256: {digest}, size: 1048576}}\n"));
    let ended = build(&["--locked", "--no-cache"]).ok();
    assert!(!ended.stderr.contains("not pinned"), "{}", ended.stderr);
    // Or in the task.
    std::fs::remove_file(downloads.path().join("alloy.lock.yml")).unwrap();
    downloads.write("tasks.yml", &task.replace(", dest", &format!(", sha256: {digest}, dest")));
    build(&["--locked"]).ok();
    // A lock that pins something else is obeyed.
    downloads.write("tasks.yml", &task);
    let other = sha256(b"other");
    downloads.write("alloy.lock.yml", &format!("downloads:\n  '{url}': {{sha256: {other}, size: 5}}\n"));
    let ended = build(&[]).fails(4);
    assert!(ended.stderr.contains(&other) && ended.stderr.contains("tasks.yml:1"), "{}", ended.stderr);
}

#[test]
fn an_entry_that_another_machine_uses_is_not_stale() {
    let digest = sha256(&content(42));
    let server = Server::start(|_, _, stream| whole(stream, &content(42)));
    let downloads = Downloads::of_tasks(&format!(
        "- {{name: get, action: get_file, sha256: {digest}, dest: /srv/0, per_arch: {{amd64: {{url: '{one}'}}, arm64: {{url: '{one}'}}}}}}\n\
         - {{name: elsewhere, action: get_file, exclude: [docker], url: 'https://a.example/{{{{.Vars.V}}}}/x', dest: /srv/1}}\n\
         - {{name: live, action: unarchive_from_ref, exclude: [docker], ref: toolchain.a.gcc, dest: /opt/x}}\n",
        one = server.url()
    ));
    let pin = format!("{{url: 'https://a.example/x', sha256: {digest}}}");
    downloads.write(
        "alloy.lock.yml",
        &format!(
            "toolchains: {{toolchain.a.gcc: {pin}}}\ndownloads: {{'https://a.example/1.0/x': {{sha256: {digest}}}}}\n"
        ),
    );
    downloads.build(&["--locked"]).ok();
}

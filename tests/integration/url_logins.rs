//! User and password in the URL of a download: they are used, and neither shown nor kept, whoever says them.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::support::host::Host;
use crate::support::http::{Server, whole};
use crate::support::registry::Registry;
use crate::support::{Store, blueprint, cached, run, shared, text, tool};

const PASSWORD: &str = "VARpw22-VARpw22";

fn server() -> Server {
    Server::start(|_, _, stream| whole(stream, b"content"))
}

/// Asks the server of the variable `SITE`, and shows it; and the same server by a URL of its own.
fn site(server: &Server) -> TempDir {
    let manifest = "name: Site\nversion: 1.0.0\nrun_order: [tasks.yml]\nvariables: {SITE: none}\n";
    let tasks = format!(
        "- {{name: one, action: get_file, url: '{{{{.Vars.SITE}}}}/f.txt', dest: /srv/f}}\n\
         - {{name: two, action: get_file, url: 'http://bob:{PASSWORD}@{0}/g.txt', dest: /srv/g}}\n",
        server.address
    );
    blueprint(&[("manifest.yml", manifest), ("tasks.yml", &tasks)])
}

fn with_login(server: &Server) -> String {
    format!("SITE=http://bob:{PASSWORD}@{}", server.address)
}

#[track_caller]
fn nowhere(place: &Path) {
    assert_eq!(tool("grep", &["-rlaF", PASSWORD, text(place)]).stdout, "");
}

fn clean(command: &mut Command) -> String {
    let ended = run(command).ok();
    let shown = ended.stdout + &ended.stderr;
    assert!(!shown.contains(PASSWORD), "{shown}");
    shown
}

#[test]
fn a_lockfile_pins_what_was_asked_for_and_not_who_asked() {
    let (server, store) = (server(), Store::new());
    let directory = site(&server);
    let lock = directory.path().join("alloy.lock.yml");
    let by_environment = |arguments: &[&str]| {
        let mut command = store.alloy(arguments);
        command.args([text(directory.path()), "--base=rootfs:/nowhere"]).env("SITE", &with_login(&server)[5..]);
        command
    };
    clean(&mut by_environment(&["lock"]));
    let written = std::fs::read_to_string(&lock).unwrap();
    for file in ["f.txt", "g.txt"] {
        assert!(written.contains(&format!("http://{}/{file}", server.address)), "{written}");
    }
    assert!(!written.contains("bob") && !written.contains(PASSWORD), "{written}");
    let basic = format!("Basic {}", STANDARD.encode(format!("bob:{PASSWORD}")));
    assert!(server.asked().iter().all(|asked| asked.header("authorization") == Some(&basic)));
    let asked = server.asked().len();
    assert!(asked > 0);

    // One that an older version wrote still pins, and is written as it should be.
    let older = written.replace("http://127", &format!("http://bob:{PASSWORD}@127"));
    assert!(older.contains(PASSWORD), "{older}");
    std::fs::write(&lock, &older).unwrap();
    let told = run(store.alloy(&["check", text(directory.path())]).env("SITE", &with_login(&server)[5..]));
    for said in ["the lockfile holds the user and password of a URL", "change the password"] {
        assert!(told.stdout.contains(said) || told.stderr.contains(said), "{}{}", told.stdout, told.stderr);
    }
    assert!(!told.stdout.contains(PASSWORD) && !told.stderr.contains(PASSWORD), "{}{}", told.stdout, told.stderr);
    clean(&mut by_environment(&["lock", "--check"]));
    clean(&mut by_environment(&["lock"]));
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), written);
    assert_eq!(server.asked().len(), asked, "what is pinned is not asked for");
    nowhere(&store.path().join("store"));
}

#[test]
fn an_image_its_records_and_what_is_published_do_not_say_who_asked() {
    let (server, registry) = (server(), Registry::start());
    let directory = site(&server);
    let image = registry.image("team/site:1");
    let metadata = shared().path().join("url-logins.json");
    let var = format!("--var={}", with_login(&server));
    let arguments = |first: &'static str| [first, text(directory.path()), var.as_str()].map(str::to_owned).to_vec();
    let alloy = |arguments: Vec<String>| shared().alloy(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    clean(&mut alloy(arguments("plan")));
    let build = ["-t", &image, "--push", "--metadata-file", text(&metadata)];
    clean(alloy(arguments("build")).args(build));
    let provenance = clean(&mut shared().alloy(&["provenance", &image]));
    assert!(provenance.contains("\"SITE\"") && provenance.contains(&format!("http://{}/f.txt", server.address)));
    nowhere(&shared().path().join("store"));
    nowhere(&metadata);
    // It is asked for again, and what comes of another password is the same layer.
    let again = run(&mut shared().alloy(&["verify", &image])).fails(2);
    assert!(again.stderr.contains("--var SITE="), "{}", again.stderr);
    let other = format!("--var={}", with_login(&server).replace(PASSWORD, "another-one"));
    let built = shared().build(&[text(directory.path()), &other]);
    assert!(cached(&built).iter().all(|(_, cached)| *cached), "{built}");
}

#[test]
fn the_state_of_a_host_and_what_tasks_print_do_not_say_it() {
    let (server, host, store) = (server(), Host::debian(), Store::new());
    let manifest = "name: Site\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: SITE}]\n";
    let tasks = format!(
        "- {{name: get, action: get_file, url: '{{{{.Vars.SITE}}}}/f.txt', dest: /srv/f}}\n\
         - {{name: say, action: run_command, reason: test, command: 'echo \"$SITE http://eve:{PASSWORD}2@h/\" | tee /srv/said; false'}}\n"
    );
    let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &tasks)]);
    let mut command = store.alloy(&["install", "--blueprint-dir", text(directory.path()), "--root", text(host.path())]);
    let ended = run(command.env("SITE", &with_login(&server)[5..])).fails(1);
    let shown = ended.stdout + &ended.stderr;
    assert!(!shown.contains(PASSWORD) && shown.contains("***"), "{shown}");
    // The task itself had it.
    let said = format!("{} http://eve:{PASSWORD}2@h/\n", &with_login(&server)[5..]);
    assert_eq!(host.read("srv/said"), said);
    let state = directory.path().join("alloy.state.yml");
    let written = std::fs::read_to_string(&state).unwrap();
    assert!(written.contains(&format!("http://{}/f.txt", server.address)), "{written}");
    nowhere(&state);
    nowhere(&store.path().join("store"));
}

#[test]
fn a_password_that_was_given_is_not_written_into_an_image() {
    let manifest = "name: s\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: SITE}]\n\
                    variables: {OWN: 'postgres://postgres:postgres@db/'}\n";
    let write = |name: &str| {
        format!("- {{name: x, action: write_env_file, file: /srv/x, content: 'S={{{{.Vars.{name}}}}}'}}\n")
    };
    let try_one = |name: &str| {
        let directory = blueprint(&[("manifest.yml", manifest), ("tasks.yml", &write(name))]);
        run(shared().alloy(&["build", text(directory.path())]).env("SITE", format!("http://bob:{PASSWORD}@h/")))
    };
    let ended = try_one("SITE").fails(3);
    assert!(ended.stderr.contains("would write a secret into the image"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
    // What the blueprint says itself, its author means to be there.
    try_one("OWN").ok();
}

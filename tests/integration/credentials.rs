//! Who this user is to servers of downloads: told to those that the user names, and to nobody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::download::Downloads;
use crate::support::http::{Server, send, whole};
use crate::support::{run, text, tool};

const TOKEN: &str = "t0ken-t0ken-t0ken";

/// A server that answers whoever has the token, and nobody else.
fn guarded(status: &'static str) -> Server {
    Server::start(move |_, asked, stream| match asked.header("private-token") {
        Some(TOKEN) => whole(stream, b"content"),
        _ => send(stream, status, "Content-Length: 0\r\n", b""),
    })
}

/// The build of somebody whose home is the store's directory.
fn build(downloads: &Downloads, more: &[&str]) -> Command {
    let mut command = downloads.command(more);
    command.env("HOME", downloads.store.path()).env_remove("XDG_CONFIG_HOME").env_remove("NETRC");
    command.env("GITLAB_TOKEN", TOKEN);
    command
}

fn header(server: &Server) -> String {
    format!("--header={}: PRIVATE-TOKEN: $GITLAB_TOKEN", server.address)
}

#[test]
fn a_header_lets_in_and_is_kept_nowhere() {
    let server = guarded("404 Not Found");
    let downloads = Downloads::one(&server.path("api/v4/x"), None);
    let ended = run(&mut build(&downloads, &[])).fails(4);
    for said in ["no such file", "PRIVATE-TOKEN: $GITLAB_TOKEN", "JOB-TOKEN: $CI_JOB_TOKEN"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let ended = run(&mut build(&downloads, &[&header(&server)])).ok();
    assert!(!(ended.stdout + &ended.stderr).contains(TOKEN));
    assert_eq!(tool("grep", &["-rlaF", TOKEN, text(downloads.store.path())]).stdout, "");
}

#[test]
fn headers_of_the_environment_and_of_the_configuration_do_as_well() {
    let server = guarded("401 Unauthorized");
    let downloads = Downloads::one(&server.url(), None);
    let ended = run(&mut build(&downloads, &[])).fails(4);
    assert!(ended.stderr.contains("the server wants credentials"), "{}", ended.stderr);
    let lines = format!("\n{}: PRIVATE-TOKEN: ${{GITLAB_TOKEN}}\n", server.address);
    run(build(&downloads, &[]).env("ALLOY_HEADERS", lines)).ok();

    let downloads = Downloads::one(&server.url(), None);
    let config = downloads.store.path().join(".config/alloy/config.yml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let entry = |field: &str| {
        let text = format!("downloads: {{headers: [{{host: '{}', name: PRIVATE-TOKEN, {field}}}]}}\n", server.address);
        fs::write(&config, text).unwrap();
    };
    entry("value_enf: GITLAB_TOKEN");
    let ended = run(&mut build(&downloads, &[])).fails(2);
    assert!(ended.stderr.contains("config.yml:1:") && ended.stderr.contains("value_env"), "{}", ended.stderr);
    entry("value_env: GITLAB_TOKEN");
    run(&mut build(&downloads, &[])).ok();
}

#[test]
fn a_header_for_another_port_of_the_host_is_named() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let server = guarded(status);
        let downloads = Downloads::one(&server.url(), None);
        let port = server.address.rsplit_once(':').unwrap().1;
        let said = run(&mut build(&downloads, &["--header=127.0.0.1: PRIVATE-TOKEN: $GITLAB_TOKEN"])).fails(4).stderr;
        let near = format!(
            "the header `private-token` for 127.0.0.1 is for the usual ports, 443 of https and 80 of http: for this URL \
             write `127.0.0.1:{port}: private-token: …`"
        );
        assert!(said.contains(&near) && !said.contains(TOKEN), "{said}");
        assert_eq!(server.asked()[0].header("private-token"), None);
        let lines = "http://127.0.0.1:1: PRIVATE-TOKEN: $GITLAB_TOKEN\n127.0.0.2: PRIVATE-TOKEN: x";
        let said = run(build(&downloads, &[]).env("ALLOY_HEADERS", lines)).fails(4).stderr;
        assert!(said.contains("for http://127.0.0.1:1 is for port 1: for this URL write"), "{said}");
        // One that is sent is no matter of ports.
        let fits = format!("--header={}: PRIVATE-TOKEN: wrong", server.address);
        let said = run(build(&downloads, &[&fits]).env("ALLOY_HEADERS", lines)).fails(4).stderr;
        assert!(!said.contains("for this URL write"), "{said}");
    }
}

#[test]
fn a_header_without_a_value_is_told_where_it_is_missed_and_a_file_of_everybodys_is_not_used() {
    let server = Server::start(|_, _, stream| whole(stream, b"content"));
    let downloads = Downloads::one(&server.url(), None);
    let config = downloads.store.path().join(".config/alloy/config.yml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let entry = |host: &str, value: &str| {
        let text = format!("downloads: {{headers: [{{host: '{host}', name: JOB-TOKEN, {value}}}]}}\n");
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    };
    entry("elsewhere.example", "value_env: A_JOBS_TOKEN");
    let said = run(&mut build(&downloads, &[])).ok().stderr;
    assert!(!said.contains("A_JOBS_TOKEN"), "{said}");
    entry(&server.address, "value_env: A_JOBS_TOKEN");
    let said = run(&mut build(&downloads, &["--pull"])).ok().stderr;
    assert!(said.contains("without a header: `JOB-TOKEN` has no value, as A_JOBS_TOKEN is not set"), "{said}");
    let accept = format!("{{host: '{}', name: Accept, value: text/plain}}", server.address);
    fs::write(&config, format!("downloads: {{headers: [{accept}]}}\n")).unwrap();
    let said = run(&mut build(&downloads, &["--pull"])).ok().stderr;
    assert!(!said.contains("is not used"), "{said}");
    entry(&server.address, "value: own-own-own");
    let said = run(&mut build(&downloads, &["--pull"])).ok().stderr;
    assert!(said.contains("config.yml is not used: others may read it") && said.contains("chmod 600"), "{said}");
    assert!(!format!("{:?}", server.asked()).contains("own-own-own"));
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    run(&mut build(&downloads, &["--pull"])).ok();
    assert_eq!(server.asked().last().unwrap().header("job-token"), Some("own-own-own"));
}

#[test]
fn a_token_in_a_query_is_kept_nowhere() {
    let server = Server::start(|_, asked, stream| match asked.line.contains("private_token=query-t0ken") {
        true => whole(stream, b"content"),
        false => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
    });
    let downloads = Downloads::one(&format!("{}?private_token=query-t0ken", server.path("x")), None);
    let ended = run(&mut build(&downloads, &[])).ok();
    assert!(!(ended.stdout + &ended.stderr).contains("query-t0ken"));
    let place = text(downloads.blueprint.path());
    let ended = downloads.store.run(&["lock", place]).ok();
    let lock = fs::read_to_string(downloads.blueprint.path().join("alloy.lock.yml")).unwrap();
    assert!(ended.stderr.contains("x?private_token=***") && lock.contains("x?private_token=***\": {sha256:"), "{lock}");
    downloads.store.run(&["lock", place, "--check"]).ok();
    assert_eq!(tool("grep", &["-rlaF", "query-t0ken", text(downloads.store.path())]).stdout, "");
    assert!(!lock.contains("query-t0ken"));
}

#[test]
fn another_server_behind_a_redirect_learns_nothing() {
    let target = Server::start(|_, _, stream| whole(stream, b"content"));
    let to = format!("Location: {}\r\nContent-Length: 0\r\n", target.url());
    let server = Server::start(move |_, _, stream| send(stream, "302 Found", &to, b""));
    let downloads = Downloads::one(&server.url(), None);
    let both = format!("--header={}: PRIVATE-TOKEN: $GITLAB_TOKEN", target.address);
    run(&mut build(&downloads, &[&header(&server), &both])).ok();
    assert_eq!(server.asked()[0].header("private-token"), Some(TOKEN));
    assert!(!target.asked().is_empty());
    assert!(!format!("{:?}", target.asked()).contains(TOKEN), "{:?}", target.asked());
}

#[test]
fn a_server_that_was_led_to_is_named() {
    let target = Server::start(|_, _, stream| send(stream, "404 Not Found", "Content-Length: 0\r\n", b""));
    let to = format!("Location: {}\r\nContent-Length: 0\r\n", target.url());
    let server = Server::start(move |_, _, stream| send(stream, "302 Found", &to, b""));
    let downloads = Downloads::one(&server.url(), None);
    let said = run(&mut build(&downloads, &[&header(&server)])).fails(4).stderr;
    assert!(said.contains(&format!("it leads to {}, which answered 404", target.address)), "{said}");
    assert!(
        said.contains(&format!("name the file's URL there, and give them with --header '{}:", target.address)),
        "{said}"
    );
    let ended = run(&mut build(&downloads, &["--header=*: PRIVATE-TOKEN: $GITLAB_TOKEN"])).fails(2);
    assert!(ended.stderr.contains("`*` is no server"), "{}", ended.stderr);
}

#[test]
fn a_netrc_that_others_may_read_is_not_used() {
    let server = Server::start(|_, _, stream| whole(stream, b"content"));
    let downloads = Downloads::one(&server.url(), None);
    let netrc = downloads.store.path().join(".netrc");
    fs::write(&netrc, "machine 127.0.0.1 login ann password pw-pw-pw\n").unwrap();
    fs::set_permissions(&netrc, Permissions::from_mode(0o644)).unwrap();
    let ended = run(&mut build(&downloads, &[])).ok();
    assert!(ended.stderr.contains("others may read it; chmod 600"), "{}", ended.stderr);
    assert_eq!(server.asked()[0].header("authorization"), None);
    fs::set_permissions(&netrc, Permissions::from_mode(0o600)).unwrap();
    let ended = run(&mut build(&downloads, &["--pull"])).ok();
    let basic = format!("Basic {}", STANDARD.encode("ann:pw-pw-pw"));
    assert_eq!(server.asked().last().unwrap().header("authorization"), Some(basic.as_str()));
    assert!(!ended.stderr.contains("pw-pw-pw"), "{}", ended.stderr);
}

#[test]
fn a_login_page_in_a_circle_is_told_and_a_managed_header_refused() {
    let server = Server::start(|_, _, stream| {
        send(stream, "302 Found", "Location: /login\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n", b"");
    });
    let downloads = Downloads::one(&server.url(), None);
    let ended = run(&mut build(&downloads, &[])).fails(4);
    assert!(ended.stderr.contains("it wants a login") && ended.stderr.contains("--header"), "{}", ended.stderr);
    let managed = format!("--header={}: Range: bytes=0-1", server.address);
    let ended = run(&mut build(&downloads, &[&managed])).fails(2);
    assert!(ended.stderr.contains("alloy says `Range` itself"), "{}", ended.stderr);
}

//! Links that stand on a host where a task's own files were: what they lead to is not the task's. And links that were there
//! before: what was written through them is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::support::host::Host;
use crate::support::http::{Server, whole};
use crate::support::{Store, tasks, text, tool};

const WRITERS: &str = "- {name: Conf, action: copy, source: c.conf, dest: /etc/tool.conf, mode: '0640'}\n\
                       - {name: Wef, action: write_env_file, file: /etc/wef, content: \"A=1\\n\"}\n\
                       - {name: Tree, action: copy, source: tree, dest: /etc/tree}\n\
                       - {name: Rules, action: udev_rules, rule_file: t.rules, content: \"own\\n\"}\n\
                       - {name: Tar, action: unpack, source: t.tar, dest: /opt/t}\n";

/// What these tasks write.
const FILES: [&str; 6] =
    ["etc/tool.conf", "etc/wef", "etc/tree/d/f", "etc/udev/rules.d/t.rules", "opt/t/d/f", "etc/get"];

fn writers(server: &Server) -> tempfile::TempDir {
    let get = format!("- {{name: Get, action: get_file, url: '{}', dest: /etc/get}}\n", server.path("get"));
    let blueprint = tasks(&format!("{WRITERS}{get}"));
    let at = |name: &str| blueprint.path().join(name);
    fs::create_dir_all(at("tree/d")).unwrap();
    for name in ["c.conf", "tree/d/f"] {
        fs::write(at(name), "own\n").unwrap();
    }
    tool("tar", &["-C", text(&at("tree")), "-cf", text(&at("t.tar")), "d"]).ok();
    blueprint
}

/// Puts links to precious files where the tasks' files are.
fn mislead(host: &Host) {
    for (number, file) in FILES.iter().enumerate() {
        let precious = host.at(&format!("srv/{number}"));
        fs::write(&precious, "precious").unwrap();
        fs::set_permissions(&precious, PermissionsExt::from_mode(0o604)).unwrap();
        fs::remove_file(host.at(file)).unwrap();
        let up = "../".repeat(file.matches('/').count());
        let target = if number % 2 == 0 { format!("{up}srv/{number}") } else { format!("/srv/{number}") };
        symlink(target, host.at(file)).unwrap();
    }
}

#[track_caller]
fn is_precious(host: &Host, said: &str) {
    for (number, file) in FILES.iter().enumerate() {
        let precious = format!("srv/{number}");
        assert_eq!(
            (host.read(&precious).as_str(), host.attributes(&precious).2),
            ("precious", 0o604),
            "{file}: {said}"
        );
        assert!(host.at(file).symlink_metadata().unwrap().is_file(), "{file} is a link still: {said}");
        let line = format!(": it is replaced, /srv/{number} stays as it is");
        assert!(said.contains(&line) && said.contains(&format!("/{file} ")), "no {file}: {said}");
    }
}

#[test]
fn what_a_link_leads_to_is_not_written_in_place_of_the_tasks_own_file() {
    let server = Server::start(|_, _, stream| whole(stream, b"own\n"));
    let (blueprint, host, store) = (writers(&server), Host::bare(), Store::new());
    fs::create_dir(host.at("srv")).unwrap();
    let install = |more: &[&str]| host.install(&store, blueprint.path(), more);
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]);
    install(&[]).ok();
    assert!(drift().ok().stdout.starts_with("no drift: "));
    assert_eq!(host.attributes("etc/tool.conf").2, 0o640);
    mislead(&host);
    assert_eq!(drift().fails(1).stdout.matches(": kind ").count(), FILES.len());
    let said = install(&["--repair"]).ok().stderr;
    is_precious(&host, &said);
    assert!(said.contains("/etc/tool.conf is a link to /srv/0 now: it is replaced, /srv/0 stays as it is"), "{said}");
    assert!(FILES.iter().all(|file| host.read(file) == if *file == "etc/wef" { "A=1\n" } else { "own\n" }));
    assert_eq!(host.attributes("etc/tool.conf").2, 0o640);
    drift().ok();

    // Nor where the link leads to the same content, nor when tasks do their work anew or have changed.
    mislead(&host);
    fs::write(host.at("srv/1"), "A=1\n").unwrap();
    let said = install(&["--repair"]).ok().stderr;
    assert!(host.at("etc/wef").symlink_metadata().unwrap().is_file(), "{said}");
    mislead(&host);
    is_precious(&host, &install(&["--forget"]).ok().stderr);
    mislead(&host);
    for name in ["c.conf", "tree/d/f"] {
        fs::write(blueprint.path().join(name), "new\n").unwrap();
    }
    let tree = blueprint.path().join("tree");
    tool("tar", &["-C", text(&tree), "-cf", text(&blueprint.path().join("t.tar")), "d"]).ok();
    let changed = fs::read_to_string(blueprint.path().join("tasks.yml")).unwrap();
    let changed =
        changed.replace("A=1", "A=2").replace("own", "new").replace("dest: /etc/get", "dest: /etc/get, mode: '0600'");
    fs::write(blueprint.path().join("tasks.yml"), changed).unwrap();
    is_precious(&host, &install(&[]).ok().stderr);
    assert_eq!((host.read("etc/tool.conf").as_str(), host.read("etc/wef").as_str()), ("new\n", "A=2\n"));
    drift().ok();
}

#[test]
fn nothing_is_changed_through_a_link_in_place_of_a_directory() {
    let server = Server::start(|_, _, stream| whole(stream, b"own\n"));
    let (blueprint, host, store) = (writers(&server), Host::bare(), Store::new());
    fs::create_dir(host.at("srv")).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    let owner = host.at("srv").metadata().unwrap().uid();
    for (task, directory) in
        [("Tree", "etc/tree/d"), ("Rules", "etc/udev/rules.d"), ("Tar", "opt/t/d"), ("Tar", "opt/t")]
    {
        let kept = host.at("kept");
        fs::rename(host.at(directory), &kept).unwrap();
        fs::create_dir(host.at("srv/mine")).unwrap();
        for name in ["f", "t.rules"] {
            fs::write(host.at("srv/mine").join(name), "precious").unwrap();
        }
        symlink("/srv/mine", host.at(directory)).unwrap();
        for more in [&["--repair"][..], &["--forget"]] {
            let said = host.install(&store, blueprint.path(), more).fails(1).stderr;
            let line = format!("/{directory} is a link to /srv/mine now, and a directory was made there");
            assert!(said.contains(&line) && said.contains(task), "{task}: {said}");
        }
        assert_eq!(
            (host.read("srv/mine/f").as_str(), host.read("srv/mine/t.rules").as_str()),
            ("precious", "precious")
        );
        assert_eq!((fs::read_dir(host.at("srv/mine")).unwrap().count(), host.attributes("srv/mine").0), (2, owner));
        fs::remove_file(host.at(directory)).unwrap();
        fs::rename(&kept, host.at(directory)).unwrap();
        fs::remove_dir_all(host.at("srv/mine")).unwrap();
        host.install(&store, blueprint.path(), &[]).ok();
    }
}

#[test]
fn what_was_written_through_a_link_is_looked_at() {
    let (host, store) = (Host::bare(), Store::new());
    let blueprint = tasks(WRITERS.lines().take(2).collect::<Vec<_>>().join("\n").as_str());
    fs::write(blueprint.path().join("c.conf"), "conf\n").unwrap();
    fs::create_dir(host.at("srv")).unwrap();
    fs::write(host.at("srv/v1"), "before").unwrap();
    symlink("../srv/v1", host.at("etc/tool.conf")).unwrap();
    // Through another link, to what is not there yet.
    symlink("/srv/v2", host.at("etc/wef")).unwrap();
    symlink("v3", host.at("srv/v2")).unwrap();
    let install = |more: &[&str]| host.install(&store, blueprint.path(), more);
    let drift = || host.drift(&store, &["--blueprint-dir", text(blueprint.path())]);
    install(&[]).ok();
    assert_eq!((host.read("srv/v1").as_str(), host.read("srv/v3").as_str()), ("conf\n", "A=1\n"));
    assert_eq!(drift().ok().stdout, "no drift: 5 paths and 0 packages of 2 tasks\n");
    install(&["--forget"]).ok();
    assert_eq!(drift().ok().stdout, "no drift: 5 paths and 0 packages of 2 tasks\n");

    fs::write(host.at("srv/v1"), "spoilt").unwrap();
    fs::remove_file(host.at("srv/v3")).unwrap();
    let said = drift().fails(1).stdout;
    assert!(said.contains("/srv/v1: content") && said.contains("/srv/v3: existence"), "{said}");
    install(&["--repair"]).ok();
    assert_eq!((host.read("srv/v1").as_str(), host.read("srv/v3").as_str()), ("conf\n", "A=1\n"));
    assert!(host.at("etc/wef").is_symlink() && host.at("srv/v2").is_symlink());
    drift().ok();

    // A link that leads elsewhere by now leads there again, and what it led to is nobody's to write.
    for (link, own) in [("etc/tool.conf", "../srv/v1"), ("etc/wef", "/srv/v2"), ("srv/v2", "v3")] {
        fs::write(host.at("srv/mine"), "precious").unwrap();
        fs::remove_file(host.at(link)).unwrap();
        symlink("/srv/mine", host.at(link)).unwrap();
        assert!(drift().fails(1).stdout.contains(&format!("/{link}: link target")));
        let said = install(&["--repair"]).ok().stderr;
        let line = format!("/{link} is a link to /srv/mine now: it leads to {own} again, /srv/mine stays as it is");
        assert!(said.contains(&line), "{said}");
        assert_eq!(fs::read_link(host.at(link)).unwrap().to_str(), Some(own));
        assert_eq!(host.read("srv/mine"), "precious");
        drift().ok();
    }
    // So does a file that was put in its place.
    fs::remove_file(host.at("srv/v3")).unwrap();
    symlink("mine", host.at("srv/v3")).unwrap();
    let said = install(&["--repair"]).ok().stderr;
    assert!(said.contains("/srv/v3 is a link to /srv/mine now: it is replaced"), "{said}");
    assert_eq!((host.read("srv/mine").as_str(), host.read("srv/v3").as_str()), ("precious", "A=1\n"));
    drift().ok();
}

#[test]
fn links_of_the_blueprints_own_are_followed() {
    let (host, store) = (Host::debian(), Store::new());
    let work = |content: &str| {
        format!(
            "- {{name: File, action: write_env_file, file: /etc/one/file, content: {content}}}\n\
             - {{name: Move, action: run_command, reason: test, command: 'test -L /etc/one || {{ mv /etc/one /srv/one && ln -s /srv/one /etc/one; }}'}}\n\
             - {{name: Link, action: run_command, reason: test, command: 'ln -sf /srv/led /etc/link'}}\n\
             - {{name: Through, action: write_env_file, file: /etc/link, content: {content}}}\n"
        )
    };
    let blueprint = tasks(&work("one"));
    host.install(&store, blueprint.path(), &[]).ok();
    assert!(host.at("etc/one").is_symlink() && host.at("etc/link").is_symlink());
    fs::write(blueprint.path().join("tasks.yml"), work("two")).unwrap();
    host.install(&store, blueprint.path(), &[]).ok();
    assert_eq!((host.read("srv/one/file").as_str(), host.read("srv/led").as_str()), ("two", "two"));
    assert!(host.at("etc/one").is_symlink() && host.at("etc/link").is_symlink());
    assert!(host.drift(&store, &["--blueprint-dir", text(blueprint.path())]).ok().stdout.starts_with("no drift: "));
}

//! Where values of variables come from.

use crate::support::download::Downloads;
use crate::support::{run, shared, tasks, text};

const TASK: &str = "- {name: write, action: write_env_file, file: /srv/0, content: '{{.Vars.A}} {{.Vars.B}} {{.Vars.C}} {{.Vars.D}} {{.Vars.E}} {{.Vars.T_URL}}'}\n";

/// A blueprint whose variables are given in ever more places.
fn places() -> Downloads {
    let downloads = Downloads::of_tasks(TASK);
    downloads.write("variables.yml", "{A: file, B: file, C: file, D: file, E: file, T_URL: file}\n");
    downloads.write(
        "manifest.yml",
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {env_from_profile: false}\n\
         variables: {B: manifest, C: manifest, D: manifest, E: manifest, T_URL: manifest}\n\
         toolchains: [{ref: toolchain.a.gcc, alias: T}]\n",
    );
    let digest = "a".repeat(64);
    let pin = format!("{{url: 'https://a.example/injected', sha256: {digest}}}");
    downloads.write("alloy.lock.yml", &format!("toolchains: {{toolchain.a.gcc: {pin}}}\n"));
    downloads.write("env", "D=env-file\nE=env-file\nT_URL=env-file\n");
    downloads
}

#[test]
fn the_later_place_wins() {
    let downloads = places();
    let env_file = downloads.path().join("env").display().to_string();
    let image = downloads.store.path().join("image").display().to_string();
    let output = format!("type=dir,dest={image}");
    let mut command =
        downloads.command(&["--env-file", &env_file, "--var", "E=var", "--var", "T_URL=var", "-o", &output]);
    for name in ["C", "D", "E", "T_URL"] {
        command.env(name, "process");
    }
    let ended = run(&mut command).ok();
    let written = std::fs::read_to_string(format!("{image}/srv/0")).unwrap();
    assert_eq!(written, "file manifest process env-file var https://a.example/injected");
    // What somebody gave on purpose for this build needs no word.
    let told: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("is taken from the")).collect();
    let expected = [
        "C is taken from the environment, not from the blueprint",
        "D is taken from the env file, not from the environment",
    ];
    assert_eq!(told, expected, "{}", ended.stderr);
}

#[test]
fn the_user_who_builds_is_no_variable_but_the_one_that_is_meant_is() {
    let downloads = Downloads::of_tasks(
        "- {name: write, action: write_env_file, file: /srv/0, content: '{{.Vars.DEV_USERNAME}} {{.Vars.USER}} {{.Vars.HOME}}'}\n",
    );
    let image = downloads.store.path().join("image").display().to_string();
    let output = format!("type=dir,dest={image}");
    let mut command = downloads.command(&["-o", &output]);
    let personal = ["DEV_USERNAME", "USER", "SUDO_USER", "LOGNAME", "HOME"];
    personal.iter().for_each(|name| _ = command.env(name, "ann"));
    let said = run(&mut command).ok().stderr;
    assert_eq!(std::fs::read_to_string(format!("{image}/srv/0")).unwrap(), "ann root /root");
    assert!(said.contains("DEV_USERNAME is ann, from the environment"), "{said}");
    let mut command = downloads.command(&["-o", &output]);
    run(command.env("USER", "ann").env("SUDO_USER", "ann").env_remove("DEV_USERNAME")).ok();
    assert_eq!(std::fs::read_to_string(format!("{image}/srv/0")).unwrap(), "root root /root");
}

#[test]
fn all_that_the_environment_lacks_is_told_at_once() {
    let downloads = Downloads::of_tasks(TASK);
    downloads.write(
        "manifest.yml",
        "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env:\n\
         - {name: LICENSE_SERVER, description: \"host:port of the licence server\"}\n\
         - {name: VENDOR_TOKEN, description: from the vendor's portal}\n\
         - {name: SET_ALREADY}\n- {name: EMPTY}\n",
    );
    let mut command = downloads.command(&[]);
    let ended = run(command.env("SET_ALREADY", "1").env("EMPTY", "")).fails(3);
    for part in [
        "the blueprint has 3 errors",
        "LICENSE_SERVER is not set (host:port of the licence server)",
        "export LICENSE_SERVER=…",
        "VENDOR_TOKEN is not set (from the vendor's portal)",
        "export VENDOR_TOKEN=…",
        "EMPTY is not set",
        "--env-file",
        "manifest.yml:5:",
        "manifest.yml:6:",
        "manifest.yml:8:",
    ] {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("SET_ALREADY is"), "{}", ended.stderr);
}

#[test]
fn an_env_file_is_read_with_care() {
    let downloads = Downloads::of_tasks(
        "- {name: write, action: write_env_file, file: /srv/0, content: '{{.Vars.A}}|{{.Vars.B}}|{{.Vars.C}}|{{.Vars.D}}'}\n",
    );
    downloads.write("env", "# a comment\r\nexport A='a b'\r\nB=b # why\r\n\r\nC=\"c # \\\"c\\\"\"\r\nD=\r\n");
    downloads.write("more", "B=again\n");
    let path = |name: &str| downloads.path().join(name).display().to_string();
    let image = downloads.store.path().join("image").display().to_string();
    let output = format!("type=dir,dest={image}");
    downloads.build(&["--env-file", &path("env"), "--env-file", &path("more"), "-o", &output]).ok();
    assert_eq!(std::fs::read_to_string(format!("{image}/srv/0")).unwrap(), "a b|again|c # \"c\"|");
    for (text, wrong) in [
        ("A=1\n\nhunter2 is no pair\n", "env:3: no `=`"),
        ("A=1\nB-C=hunter2\n", "env:2: the name of a variable"),
        ("A='hunter2\n", "env:1: the quote is not closed"),
        ("A=\"hunter2\" x\n", "env:1: something follows"),
    ] {
        downloads.write("env", text);
        let ended = downloads.build(&["--env-file", &path("env")]).fails(2);
        assert!(ended.stderr.contains(wrong) && ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "what may be a secret is not quoted: {}", ended.stderr);
    }
    let ended = downloads.build(&["--env-file", &path("nowhere")]).fails(2);
    assert!(ended.stderr.contains(&path("nowhere")), "{}", ended.stderr);
}

#[test]
fn a_file_of_variables_lies_beside_the_manifest_and_keeps_what_alloy_logs_in_with() {
    let task = "- {name: write, action: run_command, reason: test, command: 'env > /srv/env', creates: /srv/env}\n";
    let blueprint = tasks(task);
    let build = |more: &[&str]| shared().run(&[&["build", text(blueprint.path())], more].concat());
    let said = build(&[]).ok().stderr;
    assert!(!said.contains(".env"), "{said}");
    let file = blueprint.path().join(".env");
    let secrets = "TOKEN_OF=mine\nALLOY_REGISTRY_PASSWORD=s3cret-of-the-hub\nGIT_CONFIG_VALUE_0=s3cret-of-git\n";
    std::fs::write(&file, secrets).unwrap();
    let file = text(&file);
    let said = build(&[]).ok().stderr;
    assert!(said.contains(&format!("{file} is not read: --env-file {file} takes its variables")), "{said}");
    let out = tempfile::tempdir().unwrap();
    let image = out.path().join("image");
    let said = build(&["--env-file", file, "-o", &format!("type=dir,dest={}", text(&image))]).ok().stderr;
    assert!(!said.contains("is not read"), "{said}");
    let env = std::fs::read_to_string(image.join("srv/env")).unwrap();
    assert!(env.contains("TOKEN_OF=mine") && !env.contains("s3cret"), "{env}");
    // Where one of its variables is missing, it is named.
    let manifest = "name: Test\nversion: 1.0.0\nrun_order: [tasks.yml]\nrequired_env: [{name: TOKEN_OF}]\n";
    std::fs::write(blueprint.path().join("manifest.yml"), manifest).unwrap();
    let said = build(&[]).fails(3).stderr;
    assert!(said.contains("TOKEN_OF is not set") && said.contains("with --env-file "), "{said}");
}

//! `image:` of the manifest, and the user a blueprint is made for.

use serde_json::{Value, json};

use crate::support::{blueprint, run, shared, text};

fn config(image: &str) -> Value {
    let inspected = shared().run(&["inspect", image]).ok().stdout;
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    inspected["config"]["config"].clone()
}

fn env(config: &Value) -> Vec<&str> {
    config["Env"].as_array().unwrap().iter().map(|pair| pair.as_str().unwrap()).collect()
}

#[test]
fn the_manifest_says_what_the_image_is() {
    let manifest = |profile: &str| {
        format!(
            "name: Board\nversion: 1.2.3\nvendor: acme\nlicenses: Apache-2.0\nauthors: [Ann, Bob]\nrun_order: [tasks.yml]\n\
             image:\n  {profile}env: {{LEVEL: '3', PATH_OF: '\\$HOME:/x'}}\n  user: dev\n  workdir: /work\n  \
             entrypoint: [/bin/sh, -c]\n  cmd: ['echo $0 $LEVEL $(id -un) $PWD']\n  labels: {{org.example.board: x, \
             org.opencontainers.image.vendor: other}}\n"
        )
    };
    let task = "- {name: profile, action: write_env_file, file: /etc/profile.d/tools.sh, content: 'export PATH=$PATH:/opt/tools/bin TOOLS=/opt/tools LEVEL=9'}
- {name: of the user, action: run_command, reason: test, run_as: dev, command: 'echo \"export OWN=$(id -un)\" >> ~/.profile'}
- {name: workdir, action: run_command, reason: test, command: 'mkdir -p /work && echo noise >> /etc/profile'}
";
    let with = blueprint(&[("manifest.yml", &manifest("")), ("tasks.yml", task)]);
    shared().build(&[text(with.path()), "-t", "board"]);
    let found = config("board");
    let mut all = env(&found);
    all.sort_unstable();
    // What the manifest says goes over what a profile says.
    assert_eq!(
        all[..4],
        [
            "LEVEL=3",
            "OWN=dev",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/games:/usr/games:/opt/tools/bin",
            "PATH_OF=$HOME:/x"
        ]
    );
    assert_eq!(all[4..], ["TOOLS=/opt/tools"]);
    assert_eq!((&found["User"], &found["WorkingDir"]), (&json!("dev"), &json!("/work")));
    assert_eq!(found["Entrypoint"], json!(["/bin/sh", "-c"]));
    let labels = [
        ("title", "Board"),
        ("version", "1.2.3"),
        ("vendor", "other"),
        ("licenses", "Apache-2.0"),
        ("authors", "Ann, Bob"),
    ];
    for (name, value) in labels {
        assert_eq!(found["Labels"][format!("org.opencontainers.image.{name}")], value, "{name}");
    }
    assert_eq!(found["Labels"]["org.example.board"], "x");
    assert_eq!(shared().run(&["run", "board"]).ok().stdout, "/bin/sh 3 dev /work\n");
    let passwd = shared().run(&["run", "board", "--", "grep ^dev: /etc/passwd; stat -c '%U %a' ~"]).ok().stdout;
    assert_eq!(passwd, "dev:x:1000:1000::/home/dev:/bin/bash\ndev 755\n");
    // As with Docker, what stands in for the entrypoint gets nothing of the image's arguments.
    let ran = |words: &[&str]| shared().run(&[&["run"], words].concat()).ok().stdout;
    assert_eq!(ran(&["--entrypoint", "/bin/echo", "board", "--", "a", "b"]), "a b\n");
    assert_eq!(ran(&["--entrypoint", "/bin/pwd", "board"]), "/work\n");
    assert_eq!(ran(&["--entrypoint=", "board", "--", "id", "-un"]), "dev\n");
    shared().run(&["run", "--entrypoint=", "board"]).fails(2);

    let without = blueprint(&[("manifest.yml", &manifest("env_from_profile: false\n  ")), ("tasks.yml", task)]);
    shared().build(&[text(without.path()), "-t", "board-plain"]);
    let found = config("board-plain");
    assert!(env(&found).contains(&"LEVEL=3") && !env(&found).iter().any(|pair| pair.contains("/opt/tools")), "{found}");
}

#[test]
fn a_user_that_the_base_has_is_not_made_again() {
    for (user, expected) in
        [("games", "games:x:5:60:games:/usr/games:/usr/sbin/nologin\n"), ("1234:60", ""), ("root", "")]
    {
        let manifest = format!("name: U\nversion: 1.0.0\nrun_order: [tasks.yml]\nimage: {{user: '{user}'}}\n");
        let task = "- {name: a, action: run_command, reason: test, run_as: games, command: 'test $(id -un):$0 = games:/bin/sh'}\n";
        let blueprint = blueprint(&[("manifest.yml", &manifest), ("tasks.yml", task)]);
        let image = format!("user-{}", user.replace(':', "-"));
        shared().build(&[text(blueprint.path()), "-t", &image]);
        assert_eq!(config(&image)["User"], user);
        let shown = shared()
            .run(&["run", "-u", "root", &image, "--", "sh", "-c", "grep -E '^games:x:5|:1000:' /etc/passwd"])
            .ok()
            .stdout;
        assert!(shown.starts_with(expected) && !shown.contains(":1000:"), "{shown}");
    }
}

#[test]
fn the_user_of_a_blueprint_is_who_it_is_meant_for() {
    let task = "- {name: who, action: run_command, reason: test, command: 'echo {{.Vars.DEV_USERNAME}} > /srv/who'}\n\
                - {name: field, action: write_env_file, file: '/srv/$DEV_USERNAME-$USER', content: ''}\n\
                - {name: home, action: write_env_file, file: '/srv/home$HOME', content: ''}\n";
    let manifest = |more: &str| format!("name: D\nversion: 1.0.0\nrun_order: [tasks.yml]\n{more}");
    let plain = blueprint(&[("manifest.yml", &manifest("")), ("tasks.yml", task)]);
    let user = blueprint(&[("manifest.yml", &manifest("image: {user: dev}\n")), ("tasks.yml", task)]);
    let variable = blueprint(&[
        ("manifest.yml", &manifest("image: {user: dev}\nvariables: {DEV_USERNAME: ann}\n")),
        ("tasks.yml", task),
    ]);
    let env_file = plain.path().join("build.env");
    std::fs::write(&env_file, "DEV_USERNAME=file\n").unwrap();
    for (blueprint, options, expected) in [
        (&plain, &[][..], "root"),
        (&variable, &["--user", "eve"], "eve"),
        (&user, &[], "dev"),
        (&variable, &[], "ann"),
        (&user, &["--env-file", text(&env_file)], "file"),
        (&variable, &["--env-file", text(&env_file), "--var", "DEV_USERNAME=bob"], "bob"),
    ] {
        let mut all = vec!["build", text(blueprint.path()), "-t", "who"];
        all.extend(options);
        let mut command = shared().alloy(&all);
        for name in ["USER", "LOGNAME", "SUDO_USER"] {
            command.env(name, "invoker");
        }
        command.env_remove("DEV_USERNAME");
        run(command.env("HOME", "/home/invoker")).ok();
        let shown = shared()
            .run(&["run", "-u", "root", "who", "--", "sh", "-c", "cat /srv/who; ls -d /srv/*-root; ls /srv/home"])
            .ok()
            .stdout;
        assert_eq!(shown, format!("{expected}\n/srv/{expected}-root\nroot\n"));
        let everything = shared().run(&["inspect", "who"]).ok().stdout;
        assert!(!everything.contains("invoker"), "{everything}");
    }
}

#[test]
fn a_working_directory_that_is_a_file_is_an_error() {
    let blueprint = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nimage: {workdir: /etc/passwd}\nrun_order: [a.yml]\n"),
        ("a.yml", "- {name: a, action: run_command, reason: test, command: 'true'}\n"),
    ]);
    let said = shared().run(&["build", text(blueprint.path())]).fails(1).stderr;
    assert!(said.contains("/etc/passwd is there, and is no directory. Name another directory"), "{said}");
}

/// A published blueprint says `run_as` of a user whom its host has.
/// Neither what a task creates below nowhere, nor who gives files to the user, nor an owner hides that nobody makes it.
#[test]
fn whom_nobody_makes_is_told_however_a_task_needs_it() {
    let manifest = "name: D\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
    let first = "- {name: first, action: run_command, reason: test, command: 'touch /srv/x && test -e /nowhere || echo it ran'}\n";
    let give =
        "- {name: give, action: run_command, reason: test, command: 'mkdir -p /opt/x && chown dev:dev /opt/x'}\n";
    let theirs =
        "- {name: theirs, action: run_command, reason: test, run_as: '{{.Vars.DEV_USERNAME}}', command: 'true'";
    let build = |tasks: &str| {
        let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
        let mut command = shared().alloy(&["build", text(blueprint.path()), "-t", "needed", "--no-cache"]);
        run(command.env("DEV_USERNAME", "dev"))
    };
    for tasks in [
        format!("{first}{theirs}, creates: '/home/{{{{.Vars.DEV_USERNAME}}}}/who'}}\n"),
        format!("{first}{give}{theirs}}}\n"),
        format!(
            "{first}- {{name: theirs, action: write_env_file, file: /srv/y, content: y, owner: '{{{{.Vars.DEV_USERNAME}}}}'}}\n"
        ),
    ] {
        let said = build(&tasks).fails(1).stderr;
        assert!(said.contains("there is no user `dev` in the image") && said.contains("theirs"), "{tasks}: {said}");
        assert!(said.contains("--user dev") && !said.contains("[1/1]   first"), "{tasks}: {said}");
    }
    // What is there already, or what may be held back, keeps nobody from building.
    build(&format!("{first}{theirs}, creates: /etc/passwd}}\n")).ok();
    let said = build(&format!("{first}{theirs}, skip_if: 'test -e /srv/x'}}\n")).ok().stderr;
    assert!(said.contains("no task before makes the user `dev`; `--user dev` does"), "{said}");
}

#[test]
fn whom_nobody_makes_is_told_before_anything_runs() {
    let tasks = "- {name: first, action: run_command, reason: test, command: 'echo it ran'}\n\
                 - name: theirs\n  action: run_command\n  reason: test\n  run_as: '{{.Vars.DEV_USERNAME}}'\n\
                 \x20 command: 'id -un > ~/who'\n";
    let manifest = "name: D\nversion: 1.0.0\nrun_order: [tasks.yml]\n";
    let blueprint = blueprint(&[("manifest.yml", manifest), ("tasks.yml", tasks)]);
    let path = text(blueprint.path());
    let build = |more: &[&str]| {
        let mut command = shared().alloy(&[&["build", path, "-t", "meant"], more].concat());
        command.env("DEV_USERNAME", "dev");
        run(&mut command)
    };
    let said = build(&[]).fails(1).stderr;
    assert!(said.contains("there is no user `dev` in the image") && said.contains("tasks.yml:2:9: theirs"), "{said}");
    assert!(said.contains("--user dev") && !said.contains("[1/1]   first"), "{said}");
    build(&["--user", "dev"]).ok();
    let who = shared().run(&["run", "meant", "--", "sh", "-c", "id -un; cat ~/who"]).ok().stdout;
    assert_eq!(who, "dev\ndev\n");
    // What it was built with is remembered, whatever the environment says afterwards.
    run(shared().alloy(&["verify", "meant"]).env_remove("DEV_USERNAME")).ok();
    // So is what a file of variables said, whatever it says then; it counts more than the environment.
    let env_file = blueprint.path().join("site.env");
    std::fs::write(&env_file, "DEV_USERNAME=root\n").unwrap();
    build(&["--env-file", text(&env_file)]).ok();
    std::fs::write(&env_file, "DEV_USERNAME=games\n").unwrap();
    run(shared().alloy(&["verify", "meant"]).env("DEV_USERNAME", "dev")).ok();
    let said = shared().run(&["provenance", "meant"]).ok().stdout;
    assert!(said.contains("--var=DEV_USERNAME=root") && !said.contains("DEV_USERNAME=dev"), "{said}");
    let of_base = build(&["--var", "DEV_USERNAME=www-data"]);
    assert!(!of_base.stderr.contains("there is no user"), "{}", of_base.stderr);
    // A group is made as the user is.
    build(&["--user", "dev:makers"]).ok();
    let script = "id -un; id -gn; getent group makers | cut -d: -f1";
    let who = shared().run(&["run", "meant", "--", "sh", "-c", script]).ok().stdout;
    assert_eq!(who, "dev\nmakers\nmakers\n");
    let said = build(&["--user", "A b"]).fails(2).stderr;
    assert!(said.contains("lower-case letters"), "{said}");
    // A task may make the user.
    let makes = tasks.replace("echo it ran", "useradd --create-home dev");
    std::fs::write(blueprint.path().join("tasks.yml"), makes).unwrap();
    build(&[]).ok();
}

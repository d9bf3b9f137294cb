//! Servers and layouts that send too much, too little, too slowly or nothing but harm: an error that says so, in
//! bounded time and memory.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use layers::digest::Digest;
use serde_json::json;

use crate::support::http::{Asked, Server, send, whole};
use crate::support::images::{images, quiet};
use crate::support::{ALLOY, Store, blueprint, run, text, tool};

const TASKS: &str = "- {name: one, action: write_env_file, file: /etc/one, content: 'ONE=1'}\n";

/// A registry whose token server is at `realm`, and which has nothing.
fn asks_for_tokens(asked: &Asked, stream: &mut dyn Write, realm: &str) {
    if asked.header("authorization").is_some() && !asked.line.contains("/token") {
        return send(stream, "404 Not Found", "Content-Length: 0\r\n", b"");
    }
    let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"\r\nContent-Length: 0\r\n");
    send(stream, "401 Unauthorized", &header, b"");
}

/// A registry with a token server of its own, which answers by `token`.
fn registry(token: impl Fn(&Asked, &mut dyn Write) + Send + Sync + 'static) -> Server {
    Server::start(move |_, asked, stream| {
        if asked.line.contains("/token") {
            return token(asked, stream);
        }
        let host = asked.header("host").unwrap_or_default().to_owned();
        asks_for_tokens(asked, stream, &format!("http://{host}/token"));
    })
}

/// What a pull from it says, of somebody who is logged in by `file`, or of nobody.
fn pull(server: &Server, file: Option<&Path>) -> String {
    let store = Store::new();
    let mut command = images().build_command(&store, &format!("{}/team/x:1", server.address));
    command.envs(file.map(|file| ("REGISTRY_AUTH_FILE", file)));
    run(&mut command).fails(4).stderr
}

/// Bytes for as long as they are read.
fn without_end(stream: &mut dyn Write, begin: &[u8], piece: &[u8]) {
    send(stream, "200 OK", "Content-Type: application/json\r\n", begin);
    // Bounded: nobody may read as much.
    for _ in 0..(256 << 20) / piece.len() {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

#[test]
fn a_token_that_is_good_for_ever_is_a_token() {
    let server = registry(|_, stream| whole(stream, br#"{"token": "t", "expires_in": 18446744073709551615}"#));
    let said = pull(&server, None);
    assert!(said.contains("was not found"), "{said}");
}

#[test]
fn a_token_without_end_is_none() {
    let server = registry(|_, stream| without_end(stream, b"{\"token\": \"", &[b'x'; 64 << 10]));
    let said = pull(&server, None);
    assert!(said.contains("sent more than 1048576 bytes"), "{said}");
}

#[test]
fn refresh_tokens_are_not_sent_on_to_other_servers() {
    for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let thief = Server::start(|_, _, stream| whole(stream, br#"{"token": "t"}"#));
        let to = thief.path("token");
        let server = registry(move |_, stream| {
            send(stream, status, &format!("Location: {to}\r\nContent-Length: 0\r\n"), b"");
        });
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("auth.json");
        let entry = format!(r#"{{"auths": {{"{}": {{"identitytoken": "refresh"}}}}}}"#, server.address);
        std::fs::write(&file, entry).unwrap();
        let said = pull(&server, Some(&file));
        assert!(said.contains("redirects to another server"), "{said}");
        assert!(thief.asked().is_empty(), "{:?}", thief.asked());
        assert!(server.asked().iter().any(|asked| asked.line.starts_with("POST /token")));
    }
}

#[test]
fn a_drip_is_not_waited_for() {
    let drip = |stream: &mut dyn Write| {
        send(stream, "200 OK", "Content-Type: application/json\r\n", b"{");
        // Bounded: whoever waits to the end of it has failed.
        for _ in 0..600 {
            if stream.write_all(b" ").and_then(|()| stream.flush()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let tokens = registry(move |_, stream| drip(stream));
    let manifests = Server::start(move |_, _, stream| drip(stream));
    for server in [tokens, manifests] {
        let start = Instant::now();
        let said = pull(&server, None);
        assert!(said.contains("sends nothing more"), "{said}");
        assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
    }
}

#[test]
fn lists_of_tags_have_an_end() {
    let server = Server::start(|number, asked, stream| {
        if !asked.line.contains("/tags/list") {
            return send(stream, "404 Not Found", "Content-Length: 0\r\n", b"");
        }
        let tags: Vec<String> = (0..40_000).map(|tag| format!("\"alloy-{number}-{tag}\"")).collect();
        let body = format!("{{\"tags\": [{}]}}", tags.join(","));
        let link = format!("Link: </v2/team/cache/tags/list?last={number}>; rel=\"next\"\r\n");
        send(stream, "200 OK", &format!("{link}Content-Length: {}\r\n", body.len()), body.as_bytes());
    });
    let cache = format!("{}/team/cache", server.address);
    let said = Store::new().run(&["cache", "ls", &cache]).fails(4).stderr;
    assert!(said.contains("its list of tags has no end"), "{said}");
    assert!(server.asked().len() < 10);
}

/// A layout with an image of one layer.
fn layout(place: &Path) -> String {
    let layer = "0000000000000000000000000000000000000000000000000000000000000001";
    let blobs = place.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(place.join("oci-layout"), br#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    let manifest = format!(
        r#"{{"schemaVersion": 2, "manifests": [{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:{layer}", "size": 100}}]}}"#
    );
    std::fs::write(place.join("index.json"), manifest).unwrap();
    layer.to_owned()
}

#[test]
fn layouts_hold_regular_files() {
    let store = Store::new();
    let build = |place: &Path| {
        let plain = images().build_command(&store, &format!("oci:{}", text(place)));
        // Ends what hangs.
        let mut bounded = Command::new("timeout");
        bounded.arg("60").arg(plain.get_program()).args(plain.get_args());
        bounded.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        quiet(&mut bounded);
        run(&mut bounded).fails(1).stderr
    };
    let place = tempfile::tempdir().unwrap();
    let layer = layout(place.path());
    let blob = place.path().join("blobs/sha256").join(&layer);
    for (file, what) in [(place.path().join("index.json"), "index.json"), (blob, layer.as_str())] {
        for make in ["mkfifo \"$1\"", "ln -s /dev/zero \"$1\"", "mkdir \"$1\""] {
            layout(place.path());
            let _ = std::fs::remove_file(&file);
            tool("sh", &["-c", make, "sh", text(&file)]).ok();
            let said = build(place.path());
            assert!(said.contains(what) && said.contains("it is not a regular file"), "{make}: {said}");
            let _ = std::fs::remove_dir(&file).or_else(|_| std::fs::remove_file(&file));
        }
    }
    layout(place.path());
    let blob = place.path().join("blobs/sha256").join(&layer);
    tool("truncate", &["-s", "1T", text(&blob)]).ok();
    let said = build(place.path());
    assert!(said.contains("it is longer than 100 bytes"), "{said}");
}

#[test]
fn what_is_no_signed_release_is_told_in_words() {
    let server = Server::start(|_, _, stream| whole(stream, b"0000 log in first 0000"));
    let blueprint = blueprint(&[
        ("manifest.yml", "name: x\nversion: 1.0.0\nrun_order: [t.yml]\nimage: {base: 'deb:bookworm'}\n"),
        ("t.yml", TASKS),
    ]);
    let said = Store::new().run(&["lock", text(blueprint.path()), "--mirror", &server.path("debian")]).fails(4).stderr;
    assert!(said.contains("InRelease is not a signed text (an OpenPGP clear-signed message)"), "{said}");
    assert!(!said.contains("Error {") && said.contains("--mirror URL"), "{said}");
}

#[test]
fn large_entries_of_a_cache_are_looked_at_one_by_one() {
    const ENTRIES: usize = 40;
    let place = tempfile::tempdir().unwrap();
    let blobs = place.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(place.path().join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    let empty = layers::media_type::empty();
    let empty = json!({"mediaType": empty.media_type, "digest": empty.digest, "size": empty.size});
    let mut manifests = Vec::new();
    for number in 0..ENTRIES {
        let key = Digest::of(number.to_string());
        let known = json!({"value": {"what": "numbers", "value": vec![0; 700_000]}});
        let record = json!({"key": key, "preimage": number, "known": known}).to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.alloy.cache.v1", "config": empty, "layers": [empty],
            "annotations": {"vnd.alloy.cache.record": record, "org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
        })
        .to_string();
        let digest = Digest::of(&manifest);
        std::fs::write(blobs.join(digest.hex()), &manifest).unwrap();
        for tag in [format!("alloy-cache-v1-numbers-{}", key.hex()), format!("alloy-cache-v1-other-{number}")] {
            manifests.push(json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": tag},
            }));
        }
    }
    let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    std::fs::write(place.path().join("index.json"), index).unwrap();
    let (store, cache) = (Store::new(), format!("type=local,src={}", text(place.path())));
    // All of them at once would need more than twice as much.
    let bounded = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -d 600000; exec \"$0\" \"$@\"", ALLOY, "cache", command, &cache]);
        run(shell.env("ALLOY_HOME", store.path().join("store")))
    };
    let listed = bounded("ls").ok();
    assert_eq!(listed.stdout.lines().count(), ENTRIES + 1, "{}", listed.stdout);
    let brought = bounded("import");
    assert_eq!(brought.stderr.matches("is not a name of its keys").count(), ENTRIES, "{}", brought.stderr);
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What alloy says of `x/y:1` on a server whose manifest, or index, is `manifest`: as a base, and as an image to join.
fn base_and_joined(manifest: serde_json::Value, blob: &'static [u8]) -> [String; 2] {
    let server = Server::start(move |_, asked, stream| {
        let kind = manifest["mediaType"].as_str().unwrap_or_default();
        let body = manifest.to_string();
        match asked.line.split('/').find(|part| ["manifests", "blobs"].contains(part)) {
            Some("manifests") => {
                let headers = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
                send(stream, "200 OK", &headers, body.as_bytes());
            }
            Some(_) if blob.is_empty() => without_end(stream, b"{", &[b' '; 64 << 10]),
            Some(_) => whole(stream, blob),
            None => send(stream, "404 Not Found", "Content-Length: 0\r\n", b""),
        }
    });
    let (name, store) = (format!("{}/x/y:1", server.address), Store::new());
    let base = run(&mut images().build_command(&store, &name));
    let joined = store.run(&["manifest", "create", &format!("{}/x/z:1", server.address), &name]);
    [base, joined].map(|ended| {
        assert!(ended.code != Some(0), "{}", ended.stderr);
        // What was asked for that is of no use is not there afterwards.
        let size = tool("du", &["-sm", text(store.path())]).ok().stdout;
        assert!(size.split_whitespace().next().unwrap().parse::<u32>().unwrap() < 100, "{size}");
        ended.stderr
    })
}

#[test]
fn a_config_is_small() {
    let kind = "application/vnd.oci.image.config.v1+json";
    let config = json!({"mediaType": kind, "digest": Digest::of("config"), "size": 20_u64 << 30});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    for said in base_and_joined(manifest, b"") {
        assert!(said.contains("is to be read whole, and has 21474836480 bytes"), "{said}");
    }
}

#[test]
fn an_index_lists_no_thousands_of_images() {
    let entry = |number: usize| {
        let platform = json!({"os": "linux", "architecture": format!("of-number-{number}")});
        json!({"mediaType": MANIFEST, "digest": Digest::of(number.to_string()), "size": 9, "platform": platform})
    };
    let entries: Vec<_> = (0..20_000).map(entry).collect();
    let index = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": index, "manifests": entries});
    let [base, joined] = base_and_joined(index, b"{}");
    assert!(base.contains("has no image for") && base.contains("others") && base.len() < 4000, "{}", base.len());
    assert!(joined.contains("lists 20000 images"), "{joined}");
}

#[test]
fn a_platform_has_a_plain_name() {
    const CONFIG: &[u8] =
        br#"{"os": "linux", "architecture": "amd64\nerror: all is lost", "rootfs": {"diff_ids": []}}"#;
    let config = json!({"mediaType": "x/y", "digest": Digest::of(CONFIG), "size": CONFIG.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    for said in base_and_joined(manifest, CONFIG) {
        assert!(!said.lines().any(|line| line.starts_with("error: all is lost")), "{said}");
    }
}

#[test]
fn the_tags_of_a_project_have_an_end() {
    let server = Server::start(|_, asked, stream| {
        let path = asked.line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let body = match path.split('/').nth(2).unwrap_or_default() {
            "_catalog" => json!({"repositories": (0..30).map(|n| format!("proj/b{n}/x")).collect::<Vec<_>>()}),
            _ if path.contains("/tags/list") => {
                json!({"tags": (0..10_000).map(|n| format!("{n}-{}", "t".repeat(100))).collect::<Vec<_>>()})
            }
            _ => {
                let empty = json!({"mediaType": "x/y", "digest": Digest::of("{}"), "size": 2});
                let kind = "application/vnd.alloy.blueprint.v1";
                json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty, "layers": []})
            }
        };
        whole(stream, body.to_string().as_bytes());
    });
    let said = Store::new().run(&["clone", "--list", &format!("{}/proj", server.address)]).fails(4).stderr;
    assert!(said.contains("more than 16777216 bytes of tags"), "{said}");
}

//! Registries that speak TLS, with an authority of their own, and those that want to see a certificate.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::http::Authority;
use crate::support::images::{images, quiet};
use crate::support::registry::Registry;
use crate::support::{Ended, Store, run, text, tool};

fn push(registry: &Registry, name: &str, more: &[&str]) -> Ended {
    run(images().push_command("small:1", &registry.image(name)).args(more))
}

#[test]
fn an_authority_of_its_own() {
    let authority = Authority::new();
    let registry = Registry::tls(&authority, "", None);
    let home = tempfile::tempdir().unwrap();
    let unknown = push(&registry, "tls:1", &[]).fails(4);
    for part in ["certificate", "/etc/containers/certs.d/", "ca.crt", "--cert-dir", "SSL_CERT_FILE"] {
        assert!(unknown.stderr.contains(part), "no {part}: {}", unknown.stderr);
    }
    let certificates = authority.certs(home.path(), false);
    push(&registry, "tls:1", &["--cert-dir", text(&certificates)]).ok();
    push(&registry, "tls:2", &["--insecure-registry", &registry.address]).ok();
    // Where containers' tools look for it.
    let place = home.path().join(".config/containers/certs.d").join(&registry.address);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(certificates.join("ca.crt"), place.join("ca.crt")).unwrap();
    run(images().push_command("small:1", &registry.image("tls:3")).env("HOME", home.path())).ok();
    run(images().push_command("small:1", &registry.image("tls:4")).env("SSL_CERT_FILE", authority.bundle())).ok();
    // And bases come the same way, large blobs go.
    let store = Store::new();
    let mut build = images().build_command(&store, &registry.image("tls:1"));
    run(build.args(["--cert-dir", text(&certificates)])).ok();
    let mut large = images().push_command("large:1", &registry.image("tls:5"));
    run(large.args(["--cert-dir", text(&certificates)])).ok();
}

#[test]
fn a_server_that_is_its_own_authority() {
    let home = tempfile::tempdir().unwrap();
    // What Docker's guide has people make: a CA's certificate, by what it says of itself.
    let authority = Authority::self_signed("127.0.0.1", "2");
    let registry = Registry::tls(&authority, "", None);
    let certificates = authority.certs(&home.path().join("own"), false);
    push(&registry, "self:1", &["--cert-dir", text(&certificates)]).ok();
    run(images().push_command("small:1", &registry.image("self:2")).env("SSL_CERT_FILE", authority.bundle())).ok();
    let store = Store::new();
    let mut build = images().build_command(&store, &registry.image("self:1"));
    run(build.args(["--cert-dir", text(&certificates)])).ok();
    // Nobody else's, and nobody without that file.
    let other = Authority::self_signed("127.0.0.1", "2").certs(&home.path().join("other"), false);
    let refused = push(&registry, "self:3", &["--cert-dir", text(&other)]).fails(4);
    for part in ["certificate", "basicConstraints CA:TRUE", "CA:FALSE"] {
        assert!(refused.stderr.contains(part), "no `{part}`: {}", refused.stderr);
    }
    push(&registry, "self:3", &[]).fails(4);
    // Name and time are looked at as ever.
    for (place, address, days, said) in [
        ("name", "127.0.0.2", "2", "not valid for"),
        ("time", "127.0.0.1", "-1", "expired"),
        ("end", "127.0.0.1", "0", "expired"),
    ] {
        let authority = Authority::self_signed(address, days);
        let registry = Registry::tls(&authority, "", None);
        // Moments are whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let certificates = authority.certs(&home.path().join(place), false);
        let refused = push(&registry, "self:1", &["--cert-dir", text(&certificates)]).fails(4);
        assert!(refused.stderr.to_lowercase().contains(said), "{place}: {}", refused.stderr);
        let hint = "the certificate is for other names";
        assert_eq!(refused.stderr.contains(hint), place == "name", "{place}: {}", refused.stderr);
        let told: &[&str] = match place {
            "end" => &["certificate expired on 20", " ago; ", "clock says 20", "has to renew its certificate"],
            "time" => &["certificate expired before it began", "has to renew its certificate"],
            _ => &[],
        };
        for part in told.iter().chain([&registry.address.as_str()]) {
            assert!(refused.stderr.contains(part), "no `{part}`: {}", refused.stderr);
        }
    }
}

#[test]
fn the_very_certificate_of_a_server_is_trusted_without_its_authority() {
    let authority = Authority::new();
    let registry = Registry::tls(&authority, "", None);
    let home = tempfile::tempdir().unwrap();
    let given = |name: &str, certificate: &std::path::Path| {
        let place = home.path().join(name);
        std::fs::create_dir(&place).unwrap();
        std::fs::copy(certificate, place.join("ca.crt")).unwrap();
        place
    };
    let leaf = given("leaf", &authority.certificate().0);
    push(&registry, "leaf:1", &["--cert-dir", text(&leaf)]).ok();
    // Not that of another server of the same authority, or of another one.
    let other = given("other", &Authority::new().certificate().0);
    let refused = push(&registry, "leaf:2", &["--cert-dir", text(&other)]).fails(4);
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
}

#[test]
fn a_server_s_certificate_that_is_trusted_vouches_for_no_other() {
    let (authority, place) = (Authority::new(), tempfile::tempdir().unwrap());
    let script = r#"
        exec 2>&1; cd "$0"; new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@"; }
        new -subj /CN=leaf -keyout leaf.key -out leaf.csr
        printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:leaf.test\n' > leaf.ext
        openssl x509 -req -days 2 -in leaf.csr -signkey leaf.key -extfile leaf.ext -out ca.crt
        new -subj /CN=forged -keyout forged.key -out forged.csr
        printf 'basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n' > forged.ext
        openssl x509 -req -days 2 -in forged.csr -CA ca.crt -CAkey leaf.key -CAcreateserial -extfile forged.ext -out forged.pem
    "#;
    tool("sh", &["-ec", script, text(place.path())]).ok();
    let (certificate, key) = authority.certificate();
    std::fs::copy(place.path().join("forged.pem"), certificate).unwrap();
    std::fs::copy(place.path().join("forged.key"), key).unwrap();
    let registry = Registry::tls(&authority, "", None);
    std::fs::create_dir(place.path().join("certs")).unwrap();
    std::fs::copy(place.path().join("ca.crt"), place.path().join("certs/ca.crt")).unwrap();
    let said = push(&registry, "forged:1", &["--cert-dir", text(&place.path().join("certs"))]).fails(4).stderr;
    assert!(said.contains("certificate"), "{said}");
    let mut bundle = images().push_command("small:1", &registry.image("forged:2"));
    run(bundle.env("SSL_CERT_FILE", place.path().join("ca.crt"))).fails(4);
}

#[test]
fn a_server_with_which_nothing_is_in_common_is_not_asked_again() {
    // TLS alerts (RFC 8446, 6): handshake_failure and protocol_version.
    for alert in [40, 70] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().take(100).flatten() {
                let mut hello = [0; 4096];
                if stream.read(&mut hello).is_ok() && hello[0] == 0x16 {
                    let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, alert]);
                }
            }
        });
        let start = std::time::Instant::now();
        let ended = run(&mut images().push_command("small:1", &format!("{address}/x:1"))).fails(4);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        for part in ["no version or cipher of TLS in common", "TLS 1.2 and 1.3", "client.cert"] {
            assert!(ended.stderr.contains(part), "no `{part}`: {}", ended.stderr);
        }
    }
}

#[test]
fn a_certificate_for_who_asks() {
    let authority = Authority::new();
    let registry = Registry::mutual(&authority);
    let home = tempfile::tempdir().unwrap();
    let without = authority.certs(home.path(), false);
    let refused = push(&registry, "mutual:1", &["--cert-dir", text(&without)]).fails(4);
    assert!(refused.stderr.contains("client.cert"), "{}", refused.stderr);
    let with = authority.certs(&home.path().join("both"), true);
    push(&registry, "mutual:1", &["--cert-dir", text(&with)]).ok();
    let store = Store::new();
    let mut build = images().build_command(&store, &registry.image("mutual:1"));
    run(build.args(["--cert-dir", text(&with)])).ok();
    std::fs::remove_file(with.join("client.key")).unwrap();
    let half = push(&registry, "mutual:2", &["--cert-dir", text(&with)]).fails(1);
    assert!(half.stderr.contains("client.cert: its key"), "{}", half.stderr);
    let nowhere = push(&registry, "mutual:2", &["--cert-dir", "/nowhere"]).fails(1);
    assert!(nowhere.stderr.contains("/nowhere"), "{}", nowhere.stderr);
}

#[test]
fn this_machine_is_not_asked_through_a_proxy() {
    let registry = Registry::start();
    let mut push = images().push_command("small:1", &registry.image("direct:1"));
    run(push.env("http_proxy", "http://127.0.0.1:9")).ok();
}

#[test]
fn a_build_remembers_how_its_registry_is_reached() {
    let authority = Authority::new();
    let registry = Registry::tls(&authority, "", None);
    let home = tempfile::tempdir().unwrap();
    let certificates = authority.certs(home.path(), false);
    push(&registry, "base:1", &["--cert-dir", text(&certificates)]).ok();
    let store = Store::new();
    let mut build = images().build_command(&store, &registry.image("base:1"));
    run(build.args(["--cert-dir", text(&certificates), "-t", "remembers"])).ok();
    let mut verify = store.alloy(&["verify", "remembers"]);
    quiet(&mut verify);
    run(&mut verify).ok();
}

/// As HAProxy and stunnel do: whoever does not begin with TLS is hung up on, with a reset or without.
fn in_front_of(registry: &Registry, reset: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, behind) = (listener.local_addr().unwrap().to_string(), registry.address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(200).flatten() {
            let mut first = [0; 16];
            let read = stream.peek(&mut first).unwrap_or(0);
            if read == 0 || first[0] != 0x16 {
                // What was not read is answered with a reset.
                let _ = reset || (&stream).read(&mut [0; 4096]).is_ok();
                continue;
            }
            let server = TcpStream::connect(&behind).unwrap();
            let ends = [(stream.try_clone().unwrap(), server.try_clone().unwrap()), (server, stream)];
            for (mut from, mut to) in ends {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn a_server_that_hangs_up_on_http_is_asked_by_tls() {
    let authority = Authority::new();
    let registry = Registry::tls(&authority, "", None);
    let home = tempfile::tempdir().unwrap();
    let certificates = authority.certs(home.path(), false);
    for reset in [false, true] {
        let address = in_front_of(&registry, reset);
        let push = |name: &str, more: &[&str]| {
            run(images().push_command("small:1", &format!("{address}/front/{reset}:{name}")).args(more))
        };
        push("1", &["--insecure-registry", &address]).ok();
        push("2", &["--cert-dir", text(&certificates)]).ok();
        let unknown = push("3", &[]).fails(4);
        assert!(unknown.stderr.contains("certificate"), "{}", unknown.stderr);
    }
}

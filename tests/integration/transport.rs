//! The way to a server: redirects, proxies, certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::download::{Downloads, content, sha256};
use crate::support::http::{Authority, Server, refused, send, whole};
use crate::support::run;

fn redirect(stream: &mut dyn std::io::Write, to: &str) {
    send(stream, "302 Found", &format!("Location: {to}\r\nContent-Length: 0\r\n"), b"");
}

#[test]
fn a_redirect_is_followed_and_tells_nothing() {
    let target = Server::start(|_, _, stream| whole(stream, &content(30)));
    let to = target.url();
    let server = Server::start(move |_, _, stream| redirect(stream, &to));
    let url = format!("http://ann:hunter2@{}/x?token=hunter3", server.address);
    let ended = Downloads::one(&url, Some(&sha256(&content(30)))).build(&[]).ok();
    let basic = format!("Basic {}", STANDARD.encode("ann:hunter2"));
    assert_eq!(server.asked()[0].header("authorization"), Some(basic.as_str()));
    let asked = format!("{:?}", target.asked());
    assert!(!asked.contains("hunter") && !asked.contains(&basic) && !asked.contains("referer"), "{asked}");
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn a_redirect_in_a_circle_ends() {
    let server = Server::start(|_, asked, stream| {
        redirect(stream, if asked.line.contains("/b") { "/a" } else { "/b" });
    });
    let ended = Downloads::one(&server.path("a"), None).build(&[]).fails(4);
    let expected = format!(": get 0: cannot fetch {}: the server redirects in a circle", server.path("a"));
    assert!(ended.stderr.contains(&expected) && ended.stderr.contains("hint: "), "{}", ended.stderr);
    assert!(server.asked().len() <= 12, "once is enough");
}

#[test]
fn a_redirect_away_from_https_is_refused() {
    let authority = Authority::new();
    let target = Server::start(|_, _, stream| whole(stream, b"x"));
    let to = target.url();
    let server = Server::tls(&authority, move |_, _, stream| redirect(stream, &to));
    let downloads = Downloads::one(&server.url(), None);
    let ended = run(downloads.command(&[]).env("SSL_CERT_FILE", authority.bundle())).fails(4);
    assert!(ended.stderr.contains("redirects from https to http"), "{}", ended.stderr);
    assert!(target.asked().is_empty());
}

#[test]
fn an_authority_of_one_s_own() {
    let authority = Authority::new();
    let server = Server::tls(&authority, |_, _, stream| whole(stream, &content(31)));
    let downloads = Downloads::one(&server.url(), Some(&sha256(&content(31))));
    let mut command = downloads.command(&[]);
    let ended = run(command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR")).fails(4);
    for part in [&server.url(), "tasks.yml:1", "certificate", "SSL_CERT_FILE", "update-ca-certificates"] {
        assert!(ended.stderr.contains(part), "no {part}: {}", ended.stderr);
    }
    assert!(
        server.asked().is_empty() && downloads.kept(".part").iter().all(|part| part.metadata().unwrap().len() == 0)
    );
    run(downloads.command(&[]).env("SSL_CERT_FILE", authority.bundle()).env_remove("SSL_CERT_DIR")).ok();
    let downloads = Downloads::one(&server.url(), Some(&sha256(&content(31))));
    run(downloads.command(&[]).env("SSL_CERT_DIR", authority.hashed()).env_remove("SSL_CERT_FILE")).ok();
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn without_any_certificate_only_http_is_spoken() {
    let authority = Authority::new();
    let server = Server::tls(&authority, |_, _, stream| whole(stream, b"x"));
    let nowhere = "/nowhere/bundle.pem";
    let ended = run(Downloads::one(&server.url(), None).command(&[]).env("SSL_CERT_FILE", nowhere)).fails(4);
    assert!(ended.stderr.contains(&format!("SSL_CERT_FILE is {nowhere}")), "{}", ended.stderr);
    let server = Server::start(|_, _, stream| whole(stream, b"x"));
    run(Downloads::one(&server.url(), None).command(&[]).env("SSL_CERT_FILE", nowhere)).ok();
}

#[test]
fn a_proxy_is_used_and_its_password_not_shown() {
    let proxy = Server::start(|_, asked, stream| match asked.line.starts_with("CONNECT") {
        true => send(stream, "407 Proxy Authentication Required", "Content-Length: 0\r\n", b""),
        false => whole(stream, &content(32)),
    });
    let with_password = format!("http://ann:hunter2@{}", proxy.address);
    let basic = format!("Basic {}", STANDARD.encode("ann:hunter2"));
    for (number, variable) in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].into_iter().enumerate() {
        let downloads = Downloads::one("http://nowhere.example/file", Some(&sha256(&content(32))));
        run(downloads.command(&[]).env(variable, &with_password)).ok();
        let asked = &proxy.asked()[number];
        assert_eq!(asked.line, "GET http://nowhere.example/file HTTP/1.1", "{variable}");
        assert_eq!(asked.header("proxy-authorization"), Some(basic.as_str()));
    }
    let count = proxy.asked().len();
    for (number, variable) in ["https_proxy", "HTTPS_PROXY"].into_iter().enumerate() {
        let downloads = Downloads::one("https://nowhere.example/file", None);
        let ended = run(downloads.command(&[]).env(variable, &with_password)).fails(4);
        assert!(proxy.asked().len() > count + number, "{variable}");
        assert!(proxy.asked().last().unwrap().line.starts_with("CONNECT nowhere.example:443"));
        assert!(ended.stderr.contains("the proxy wants credentials"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains(&basic), "{}", ended.stderr);
    }
}

#[test]
fn hosts_without_a_proxy_are_asked_themselves() {
    let server = Server::start(|_, _, stream| whole(stream, &content(33)));
    let proxy = format!("http://ann:hunter2@{}", refused());
    for variable in ["no_proxy", "NO_PROXY"] {
        let downloads = Downloads::one(&server.url(), Some(&sha256(&content(33))));
        run(downloads.command(&[]).env("http_proxy", &proxy).env(variable, "localhost,127.0.0.1")).ok();
    }
    // Forms of others' documentation, and what is for another port.
    let port = server.address.rsplit_once(':').unwrap().1;
    for (form, direct) in [
        (format!("127.0.0.1:{port}"), true),
        ("127.0.0.0/8".to_owned(), true),
        ("*.example, 127.0.0.1".to_owned(), true),
        ("127.0.0.1:1".to_owned(), false),
    ] {
        let downloads = Downloads::one(&server.url(), Some(&sha256(&content(33))));
        let ended = run(downloads.command(&[]).env("http_proxy", &proxy).env("no_proxy", &form));
        if direct {
            ended.ok()
        } else {
            ended.fails(4)
        };
    }
    // And a proxy that is not there is named, but not its password.
    let ended = run(Downloads::one(&server.url(), None).command(&[]).env("http_proxy", &proxy)).fails(4);
    let named = format!("http_proxy is {}", proxy.replace("ann:hunter2@", ""));
    assert!(ended.stderr.contains(&named) && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
    assert_eq!(server.asked().len(), 5);
}

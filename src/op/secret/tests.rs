use super::*;

fn secrets(values: &[&str]) -> Secrets {
    let mut secrets = Secrets::default();
    for (at, value) in values.iter().enumerate() {
        secrets.insert(&format!("S{at}_TOKEN"), value);
    }
    secrets
}

#[test]
fn values_are_revealed_and_masked() {
    let secrets = secrets(&["hunter2\nsecond-line"]);
    let text = format!("curl -H {}", marker("S0_TOKEN"));
    assert_eq!(secrets.reveal(&text), "curl -H hunter2\nsecond-line");
    assert_eq!(secrets.mask("got second-line here"), "got *** here");
    assert_eq!(secrets.mask(&secrets.reveal(&text)), "curl -H ***");
    assert_eq!(secrets.mask(&text), "curl -H ***");
    assert_eq!(Secrets::as_written(&text), "curl -H {{.Vars.S0_TOKEN}}");
    assert!(!format!("{secrets:?}").contains("hunter2"));
}

#[test]
fn tokens_in_queries_are_revealed_and_no_key_of_anything() {
    let mut secrets = Secrets::default();
    let with = |token: &str| format!("https://a.example/x?v=1&private_token={token}&sig=a%2Fb");
    let text = secrets.tokens_of_url(&with("glpat-1234"));
    assert_eq!(secrets.reveal_url(&text), with("glpat-1234"));
    assert_eq!(Secrets::as_written(&text), "https://a.example/x?v=1&private_token=***&sig=***");
    assert_eq!(secrets.mask("glpat-1234 and a/b"), "*** and a/b");
    assert_eq!(Secrets::default().tokens_of_url(&with("other-token")), text, "another token is no other file");
    let other = secrets.tokens_of_url(&with("other-token"));
    assert_eq!(secrets.reveal_url(&other), with("other-token"));
}

#[test]
fn secrets_that_overlap_leave_nothing_behind() {
    let secrets = secrets(&["abcd", "abcdefgh", "ghijkl"]);
    assert_eq!(secrets.mask("x abcdefgh y"), "x *** y");
    assert_eq!(secrets.mask("x abcdefghijkl y"), "x *** y");
    assert_eq!(secrets.mask("no secret"), "no secret");
}

#[test]
fn short_values_are_left_alone() {
    assert_eq!(secrets(&["a", "", "1\n}\n-----"]).mask("a } 100 -----"), "a } 100 ***");
}

fn streamed(secrets: &Secrets, text: &str, size: usize) -> Vec<String> {
    let mut stream = secrets.stream();
    let mut given: Vec<String> = text.as_bytes().chunks(size).filter_map(|piece| stream.take(piece, 64)).collect();
    given.extend(stream.finish());
    given
}

#[test]
fn a_stream_masks_what_the_whole_text_would_have_masked() {
    let secrets = secrets(&["hunter2", "0123456789", "first-line\nsecond-line"]);
    let long = "no line ".repeat(40);
    let text = format!("a hunter2 and 0123456789 hunt\nfirst-line\nsecond-line\n{long}hunter2{long}\nthe end hun");
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(streamed(&secrets, &text, size).concat(), secrets.mask(&text), "{size}");
    }
}

#[test]
fn a_line_is_not_held_back_for_what_it_might_go_on_to_be() {
    let secrets = secrets(&["hunter2-hunter2"]);
    let mut stream = secrets.stream();
    // Base64 of the secret begins with `aHVu`: too little of it is here to wait for more.
    assert_eq!(stream.take(b"Password for aHV\n", 64).as_deref(), Some("Password for aHV\n"));
    assert_eq!(stream.take(b"aHVudGVyMi1o\n", 64), None);
    assert_eq!(stream.take(b"dW50ZXIy\nnext\n", 64).as_deref(), Some("***\nnext\n"));
}

/// Whatever a task prints, what is held of it is bounded.
#[test]
fn what_is_held_back_has_an_end() {
    let secrets = secrets(&["hunter2hunter2hunter2", "aaaaaaaa", "\\\\\\\\"]);
    for (begin, piece) in [
        ("aHVu", "\n"),
        ("aHVu", " "),
        ("aHVu", "\\n"),
        ("aHVu\n", "\\"),
        ("68756e7465", ":"),
        ("", "a"),
        ("", "a\n"),
        ("hunter2", "\\"),
        ("hunter2", "%5C"),
        ("hunter2", "'"),
        ("", "hunter2"),
    ] {
        let mut stream = secrets.stream();
        stream.take(begin.as_bytes(), 4096);
        let piece = piece.repeat(8192 / piece.len());
        for _ in 0..20 {
            stream.take(piece.as_bytes(), 4096);
            let held = stream.pending.len();
            assert!(held <= MOST_PENDING + 8192, "{begin:?}, then {:?}: {held}", &piece[..2]);
        }
        assert!(!stream.finish().unwrap_or_default().contains("aaaa"));
    }
}

#[test]
fn passwords_of_urls_are_secrets_without_a_name() {
    let mut secrets = Secrets::default();
    let urls = "curl http://bob:VARpw22@h:80/f http://bob:VARpw22@h:80/g https://eve:x%40yz@h:80/";
    let marked = secrets.logins_of_script(urls);
    assert!(!marked.contains("VARpw22") && !marked.contains("bob"), "{marked:?}");
    assert_eq!(secrets.reveal(&marked), urls);
    assert_eq!(Secrets::as_written(&marked), "curl http://h:80/f http://h:80/g https://h:80/");
    assert_eq!(secrets.mask(&marked), "curl http://***@h:80/f http://***@h:80/g https://***@h:80/");
    assert_eq!(secrets.mask("pw VARpw22 x@yz x%40yz"), "pw *** *** ***");
    assert!(Secrets::in_text(&marked) && !Secrets::beside_logins(&marked));
    // Another password has the same name, where it is the only one of its server.
    let other = Secrets::default().logins_of_script(&urls.replace("VARpw22", "other"));
    assert_eq!(other, marked);
    assert_eq!(secrets.logins_of_value("http://h/"), "http://h/");
}

#[test]
fn names_that_end_as_secrets_do() {
    assert!(Secrets::is_secret_name("NPM_TOKEN") && Secrets::is_secret_name("api_key"));
    for name in ["DB_PASS", "PASS", "DB_PASSWD", "KEY_PASSPHRASE", "PROXY_AUTH", "GITHUB_PAT"] {
        assert!(Secrets::is_secret_name(name), "{name}");
    }
    for name in ["TOKENIZER_VERSION", "COMPASS", "COMPAT", "SEARCH_PATH", "BYPASS"] {
        assert!(!Secrets::is_secret_name(name), "{name}");
    }
}

use super::*;

fn sent(credentials: &Credentials, url: &str) -> Vec<(String, String)> {
    let headers = credentials.of(&Url::parse(url).unwrap());
    let pair = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    headers.iter().map(pair).collect()
}

fn header(text: &str) -> Header {
    Header::read(text, |name| (name == "T").then(|| "t0ken".to_owned())).unwrap()
}

#[test]
fn headers_go_to_their_server_alone() {
    let token = |server: &str| Credentials::new(vec![header(&format!("{server}: PRIVATE-TOKEN: $T"))], Vec::new());
    let a = token("A.example");
    assert_eq!(sent(&a, "https://a.example/x"), [("private-token".to_owned(), "t0ken".to_owned())]);
    for other in ["http://a.example/", "https://a.example:8443/", "https://b.a.example/", "https://a.example.b/"] {
        assert!(sent(&a, other).is_empty(), "{other}");
    }
    assert_eq!(sent(&token("a.example:8443"), "https://a.example:8443/").len(), 1);
    assert_eq!(sent(&token("http://a.example"), "http://a.example/").len(), 1);
    assert!(sent(&token("http://a.example"), "https://a.example/").is_empty());
    assert_eq!(sent(&token("127.0.0.1:81"), "http://127.0.0.1:81/").len(), 1);
    assert!(sent(&token("https://127.0.0.1:81"), "http://127.0.0.1:81/").is_empty());
}

#[test]
fn a_header_for_another_port_or_scheme_is_named() {
    let near = |headers: &[&str], url: &str| {
        let all = headers.iter().map(|server| header(&format!("{server}: X-Key: s3cret"))).collect();
        Credentials::new(all, Vec::new()).near(&Url::parse(url).unwrap())
    };
    for (server, url, said) in [
        (
            "127.0.0.1",
            "http://127.0.0.1:9701/x",
            "for 127.0.0.1 is for the usual ports, 443 of https and 80 of http: for this URL write `127.0.0.1:9701: x-key: …`",
        ),
        (
            "a.example",
            "https://a.example:8443/",
            "is for the usual ports, 443 of https and 80 of http: for this URL write `a.example:8443: ",
        ),
        ("https://a.example", "https://a.example:8443/", "for https://a.example is for port 443, that of https"),
        (
            "a.example:8443",
            "https://a.example/",
            "for a.example:8443 is for port 8443: for this URL write `a.example: ",
        ),
        (
            "a.example",
            "http://a.example/",
            "is not sent by http, where others may read it: for this URL write `http://a.example: ",
        ),
        ("https://a.example", "http://a.example/", "is for https: for this URL write `http://a.example: "),
        ("a.example", "http://a.example:81/", "443 of https and 80 of http: for this URL write `http://a.example:81: "),
    ] {
        let told = near(&[server], url).unwrap();
        assert!(told.contains(said) && !told.contains("s3cret"), "{told}");
    }
    for (servers, url) in [
        (&["a.example"][..], "https://a.example/"),
        (&["a.example", "a.example:8443"], "https://a.example:8443/"),
        (&["b.example"], "https://a.example:8443/"),
        (&["a.example"], "https://bob:x@a.example:8443/"),
    ] {
        assert_eq!(near(servers, url), None, "{servers:?} {url}");
    }
}

#[test]
fn a_token_of_another_tool_goes_below_its_place_alone() {
    let all = Credentials::new(vec![Header::below("https://a.example/npm/", "Bearer t0ken").unwrap()], Vec::new());
    assert_eq!(sent(&all, "https://a.example/npm/x/-/x-1.tgz").len(), 1);
    for url in
        ["https://a.example/npmx/y", "https://a.example/", "http://a.example/npm/x", "https://a.example:8443/npm/x"]
    {
        assert!(sent(&all, url).is_empty(), "{url}");
    }
    assert_eq!(all.near(&Url::parse("https://a.example:8443/npm/x").unwrap()), None, "nobody wrote a header");
    assert!(Header::below("a.example", "x").is_none());
}

#[test]
fn the_url_s_own_login_counts_before_headers_and_these_before_netrc() {
    let machine = Machine { name: "a.example".into(), login: "ann".into(), password: "pw".into() };
    let all =
        |headers: &[&str]| Credentials::new(headers.iter().map(|text| header(text)).collect(), vec![machine.clone()]);
    let basic = ("authorization".to_owned(), format!("Basic {}", STANDARD.encode("ann:pw")));
    assert_eq!(sent(&all(&[]), "https://a.example:8443/"), std::slice::from_ref(&basic));
    assert!(sent(&all(&[]), "http://a.example/").is_empty());
    let near = |url: &str| all(&[]).near(&Url::parse(url).unwrap());
    assert!(near("http://a.example/").is_some_and(|why| why.contains("not told by http") && !why.contains("pw")));
    assert_eq!((near("https://a.example/"), near("http://b.example/")), (None, None));
    assert!(sent(&all(&[]), "https://bob:x@a.example/").is_empty());
    let headers = ["a.example: Authorization: Bearer ${T}", "a.example: Authorization: second"];
    let bearer = ("authorization".to_owned(), "Bearer t0ken".to_owned());
    assert_eq!(sent(&all(&headers), "https://a.example/"), [bearer]);
    assert!(sent(&all(&headers), "https://bob:x@a.example/").is_empty());
    let accept = all(&["a.example: Accept: application/octet-stream"]);
    assert!(sent(&accept, "https://a.example/").contains(&basic));
    let secrets = all(&headers).secrets();
    assert!(["t0ken", "Bearer t0ken", "pw"].iter().all(|secret| secrets.iter().any(|found| found == secret)));
    assert!(!format!("{:?}", all(&headers)).contains("t0ken"));
    assert!(!format!("{:?}", all(&headers)).contains("pw"));
}

#[test]
fn what_is_wrong_is_said_without_the_value() {
    let wrong = |text: &str| Header::read(text, |_| None).unwrap_err();
    for name in ["Host", "Content-Length", "RANGE", "Transfer-Encoding"] {
        assert!(wrong(&format!("a.example: {name}: s3cret")).contains("itself"));
    }
    assert!(wrong("a.example: X: $NOTSET").contains("`NOTSET` is not set"));
    for text in ["a.example/path: X: s3cret", "u@a.example: X: s3cret", "X:s3cret", "a.example: X Y: s3cret"] {
        assert!(!wrong(text).contains("s3cret"), "{text}");
    }
    assert!(wrong("a.example: X: s3cret\nY: z").contains("no header can hold"));
    assert_eq!(expanded("a$$b", |_| None).unwrap(), "a$b");
}

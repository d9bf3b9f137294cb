//! Values are found in whatever form a program may print them.

use base64::engine::general_purpose::STANDARD;

use super::*;

#[test]
fn encoded_forms_are_found() {
    let mut mask = Mask::default();
    mask.insert("p@ss/word+\"x\" ü");
    for text in [
        percent_encoded("p@ss/word+\"x\" ü"),
        "p@ss/word+\\\"x\\\" ü".to_owned(),
        url::Url::parse("http://a.example/?t=p@ss/word+\"x\" ü").unwrap().to_string(),
    ] {
        assert_eq!(mask.places(text.as_bytes()).len(), 1, "{text}");
    }
    for user in ["", "a:", "ab:", "abc:", "abcd:"] {
        let header = STANDARD.encode(format!("{user}p@ss/word+\"x\" ü:rest"));
        let places = mask.places(header.as_bytes());
        assert!(places.iter().any(|(start, end)| end - start >= 20), "{user}");
    }
}

/// A value with what every way of spelling has to spell.
const SECRET: &str = "t0ken/p@ss:wo'rd&<x>\"ü ~!+Z0123456789";

#[track_caller]
fn all_masked(text: &str) {
    let mut mask = Mask::default();
    mask.insert(SECRET);
    assert_eq!(masked(&mask, &format!("a {text} b")), "a *** b");
}

#[test]
fn urls_are_read_however_they_were_written() {
    for text in [
        "t0ken/p%40ss%3Awo%27rd%26%3Cx%3E%22%C3%BC%20~%21%2BZ0123456789",
        "t0ken%2Fp%40ss%3Awo%27rd%26%3Cx%3E%22%C3%BC+~%21%2BZ0123456789",
        "t0ken%2fp%40ss%3awo%27rd%26%3cx%3e%22%c3%bc%20%7e%21%2bZ0123456789",
        "t0ken%2Fp%40ss%3Awo'rd%26%3Cx%3E%22%C3%BC%20~!%2BZ0123456789",
        "t0ken/p@ss:wo'rd&%3Cx%3E%22%C3%BC%20~!+Z0123456789",
        "t0ken%252Fp%2540ss%253Awo%2527rd%2526%253Cx%253E%2522%25C3%25BC%2520~%2521%252BZ0123456789",
        "t0ken/p@ss:wo'rd%26%3Cx%3E%5C%22%C3%BC%20~!%2BZ0123456789",
    ] {
        all_masked(text);
    }
}

#[test]
fn json_and_programs_are_read_however_they_were_written() {
    for text in [
        r#"t0ken/p@ss:wo'rd&<x>\"\u00fc ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo'rd\u0026\u003cx\u003E\"ü ~!+Z0123456789"#,
        r#"t0ken\/p@ss:wo'rd&<x>\"\u00fc ~!+Z0123456789"#,
        r#"t0ken\\\/p@ss:wo'rd&<x>\\\"\\u00fc ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo\'rd&<x>"ü ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo'rd&<x>\"\xc3\xbc ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo'rd&<x>\"\u{fc} ~!+Z0123456789"#,
    ] {
        all_masked(text);
    }
}

#[test]
fn shells_are_read_however_they_write() {
    for text in [
        r#"t0ken/p@ss:wo'\''rd&<x>"ü ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo'"'"'rd&<x>"ü ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo\'rd\&\<x\>\"ü\ \~\!+Z0123456789"#,
        r#"t0ken/p@ss:wo\'rd\&\<x\>\"\303\274\ ~\!+Z0123456789"#,
        r#"t0ken/p@ss:wo'rd&<x>\"ü ~!+Z0123456789"#,
        r#"t0ken/p@ss:wo'\\''rd&<x>\"ü ~!+Z0123456789"#,
    ] {
        all_masked(text);
    }
    // What is an escape elsewhere is none between quotes of a shell.
    let mut mask = Mask::default();
    mask.insert(r"a\b'c%41d");
    assert_eq!(masked(&mask, r"'a\b'\''c%41d'"), "'***'");
    mask.insert("a\u{1f600}b");
    assert_eq!(masked(&mask, r"a\ud83d\ude00b a\U0001f600b"), "*** ***");
}

#[test]
fn digits_may_have_between_them_what_programs_write() {
    let hex = |between: &str, before: &str| {
        let digits = SECRET.bytes().map(|byte| format!("{before}{byte:02x}"));
        digits.collect::<Vec<_>>().join(between)
    };
    let dump = |lines: Vec<String>| {
        let lines = lines.iter().enumerate().map(|(at, line)| format!("{:07o} {line}\n", at * 16));
        lines.collect::<String>()
    };
    let mut mask = Mask::default();
    mask.insert(SECRET);
    for text in
        [hex(":", ""), hex(" ", ""), hex("", "\\x"), hex(", ", "0x"), hex("\n    ", ""), hex("-", "").to_uppercase()]
    {
        let shown = masked(&mask, &text);
        assert!(["***", "\\x***", "0x***"].contains(&shown.as_str()), "{text}: {shown}");
    }
    let bytes: Vec<String> = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let lines = bytes.chunks(16).map(|line| line.join(" ")).collect();
    assert_eq!(masked(&mask, &dump(lines)), "0000000 ***\n");
    let secret = "\u{3ff}\u{3bf}-0123456789-abcdefghijklmnopqrstuvwxyz-?>?>?>";
    mask.insert(secret);
    let base64 = STANDARD.encode(secret);
    assert!(base64.contains('+') && base64.contains('/'), "{base64}");
    let lines = |end: &str| {
        base64
            .as_bytes()
            .chunks(20)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join(end)
    };
    for text in [
        lines("\n    "),
        lines("\\n"),
        lines("\\r\\n"),
        lines("\\\\n"),
        base64.replace('/', "\\/").replace('+', "\\u002b"),
        base64.replace('/', "%2F").replace('+', "%2b"),
    ] {
        let shown = masked(&mask, &text);
        assert!(shown.starts_with("***") && shown.len() <= 8, "{text}: {shown}");
    }
}

#[test]
fn base64_of_short_values_is_found_wherever_they_begin() {
    for secret in ["hun2", "hunt2", "hunte2"] {
        let mut mask = Mask::default();
        mask.insert(secret);
        for user in ["", "a:", "ab:", "abc:"] {
            let shown = masked(&mask, &STANDARD.encode(format!("{user}{secret}:rest")));
            assert!(shown.contains("***"), "{secret} behind {user}: {shown}");
        }
    }
}

#[test]
fn what_is_encoded_stays() {
    assert_eq!(percent_encoded("a%2Fb/%zz"), "a%2Fb%2F%25zz");
}

fn masked(mask: &Mask, text: &str) -> String {
    let mut out = text.to_owned();
    mask.places(text.as_bytes()).into_iter().rev().for_each(|(start, end)| out.replace_range(start..end, "***"));
    out
}

#[test]
fn encoded_forms_are_found_however_they_are_broken_into_lines() {
    let secret = "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ-~~~~~~~~~~~~";
    let mut mask = Mask::default();
    mask.insert(secret);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    for encoded in [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret), hex.to_uppercase(), hex] {
        for (width, end) in [(1, "\n"), (3, "\r\n"), (60, "\n"), (64, "\r\n"), (76, "\n"), (1000, "\n")] {
            let lines: Vec<&str> =
                (0..encoded.len()).step_by(width).map(|at| &encoded[at..encoded.len().min(at + width)]).collect();
            let shown = masked(&mask, &lines.join(end));
            assert!(shown.trim_start_matches("***").len() <= 5, "{width}: {shown:?}");
        }
    }
}

#[test]
fn places_that_meet_and_overlap_are_one() {
    let mut mask = Mask::default();
    ["abcd", "bcdefg", "ghijkl", "ijkl"].iter().for_each(|text| mask.insert(text));
    assert_eq!(mask.places(b"x abcdefghijkl y"), [(2, 14)]);
    assert_eq!(mask.places(b"abcdabcd"), [(0, 4), (4, 8)]);
}

/// Whatever the pieces, the places are those of the whole.
#[test]
fn pieces_make_no_difference() {
    let mut mask = Mask::default();
    mask.insert("hunter2\nanother-line-of-it");
    let text = format!(
        "a hunter2 b hunt {} aHVudGVy\nMg== h%75nter2 another-\\u006cine-of-it hunter%32 68:75:6e 74657232 '\\''hunter2%",
        STANDARD.encode("hunter2\nanother-line-of-it")
    );
    let whole = mask.places(text.as_bytes());
    assert!(whole.len() >= 7, "{whole:?}");
    for size in 1..9 {
        let mut scan = mask.scan();
        text.as_bytes().chunks(size).for_each(|piece| scan.take(piece));
        scan.finish();
        assert_eq!(Vec::from(scan.found), whole);
    }
}

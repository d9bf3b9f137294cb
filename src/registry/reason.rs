//! The reason that a server gives with a status, whatever it is written in: the errors of the distribution-spec, JSON of
//! other kinds, the XML of stores that registries lead to, a page, or plain text.

use layers::path::steers;
use serde_json::Value;

/// Nobody reads more errors than these, or more characters.
const MOST: usize = 16;
const LONGEST: usize = 600;
/// What is quoted of an address, a digest or a header.
const BRIEF: usize = 200;
/// Beginnings of a page, in small letters.
const PAGES: [&[u8]; 4] = [b"<!doctype html", b"<html", b"<head", b"<body"];

/// A reason on one line, with nothing that steers a terminal; empty without one.
pub(super) fn reason(bytes: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => of_value(&value),
        Err(_) if is_page(bytes) => format!("a web page{}", title(bytes)),
        Err(_) if bytes.contains(&0) => return String::new(),
        Err(_) => of_text(&String::from_utf8_lossy(bytes)),
    };
    line(&text)
}

/// True for an HTML page.
pub(super) fn is_page(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    // One in XHTML begins as all XML does.
    let begins = |page: &[u8]| text.get(..page.len()).is_some_and(|head| head.eq_ignore_ascii_case(page));
    PAGES.iter().any(|page| begins(page))
        || begins(b"<?xml") && text.windows(5).take(1000).any(|part| part.eq_ignore_ascii_case(b"<html"))
}

/// The title of a page behind what it belongs to: ", `Sign in`".
pub(super) fn title(page: &[u8]) -> String {
    let title = element(&String::from_utf8_lossy(page), "title").map(|title| line(&title));
    title.filter(|title| !title.is_empty()).map_or_else(String::new, |title| format!(", `{title}`"))
}

/// The beginning of what a server wrote in a place where there is little to say, on one line.
pub(super) fn brief(text: &str) -> String {
    cut(text, BRIEF)
}

/// As it goes to a terminal.
fn line(text: &str) -> String {
    cut(text, LONGEST)
}

/// One line of at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    // Of much more nothing is left anyway.
    let end = text.char_indices().nth(most * 8).map_or(text.len(), |(at, _)| at);
    let words: Vec<String> =
        text[..end].split_whitespace().map(|word| word.chars().filter(|c| !steers(*c)).collect()).collect();
    let line = words.join(" ");
    let more = end < text.len() || line.chars().nth(most).is_some();
    if more { line.chars().take(most).chain(['…']).collect() } else { line }
}

fn of_value(value: &Value) -> String {
    let one = match value {
        Value::Object(fields) => {
            // What has an error in a field of its own has nothing else to say.
            let inner = ["errors", "error"].iter().filter_map(|name| fields.get(*name)).map(of_value);
            let inner = inner.filter(|text| !text.is_empty()).collect::<Vec<_>>();
            return if inner.is_empty() { of_error(value) } else { with_description(inner.join("; "), value) };
        }
        Value::Array(all) => {
            let texts = all.iter().take(MOST).map(of_value).filter(|text| !text.is_empty());
            return texts.collect::<Vec<_>>().join("; ");
        }
        other => other,
    };
    scalar(one)
}

/// RFC 6749, 5.2: `error` is a code, and this says what it means.
fn with_description(code: String, value: &Value) -> String {
    let more = scalar(&value["error_description"]);
    if more.is_empty() { code } else { format!("{code} {more}") }
}

/// Code and message; for a blob that is missing, its digest too.
fn of_error(error: &Value) -> String {
    let field = |names: &[&str]| {
        let found = names.iter().map(|name| scalar(&error[*name])).find(|text| !text.is_empty());
        found.unwrap_or_default()
    };
    let code = field(&["code", "Code"]);
    let detail = &error["detail"];
    let message = field(&["message", "Message", "msg", "title", "reason"]);
    // Problem details (RFC 9457) explain in `detail` what `title` names.
    let more = match detail {
        Value::String(text) if *text != message => text.clone(),
        _ => {
            let digest = detail["digest"].as_str().or(detail["Digest"].as_str());
            digest.filter(|digest| !message.contains(digest)).unwrap_or_default().to_owned()
        }
    };
    let head = [code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    [head, more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn of_text(text: &str) -> String {
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return text.to_owned();
    }
    // As S3, GCS and Azure write it.
    let named = ["Code", "Message", "Details"].iter().filter_map(|name| element(text, name));
    named.collect::<Vec<_>>().join(" ")
}

/// What stands in the first element of that name.
fn element(text: &str, name: &str) -> Option<String> {
    let begins = |at: &usize| {
        let rest = text.get(at + 1..)?;
        let head = rest.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name))?;
        let behind = &rest[head.len()..];
        let start = behind.starts_with(|c: char| c == '>' || c.is_whitespace()).then(|| behind.split_once('>'))??;
        Some(start.1)
    };
    let content = text.match_indices('<').map(|(at, _)| at).find_map(|at| begins(&at))?;
    let content = content.trim_start().strip_prefix("<![CDATA[").unwrap_or(content);
    let content = content.split(['<']).next()?.trim_end_matches("]]>");
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    Some(named.iter().fold(content.to_owned(), |text, (written, meant)| text.replace(written, meant)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_whatever_they_are_written() {
        for (body, told) in [
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "DENIED no"),
            (r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"UNKNOWN"}]}"#, "DENIED no; UNKNOWN"),
            (r#"{"errors":{"code":"DENIED","message":"no"}}"#, "DENIED no"),
            (r#"{"errors":[{"code":403,"message":"no","detail":null,"more":[1]}]}"#, "403 no"),
            (r#"{"errors":[{"code":null,"message":"no"},7,"more"]}"#, "no; 7; more"),
            (r#"{"errors":["quota"]}"#, "quota"),
            (r#"{"errors":[],"message":"no"}"#, "no"),
            (r#"{"errors":[{"code":"B","message":"m","detail":{"digest":"sha256:1"}}]}"#, "B m: sha256:1"),
            (r#"{"errors":[{"code":"B","message":"m sha256:1","detail":{"Digest":"sha256:1"}}]}"#, "B m sha256:1"),
            (r#"{"error":"invalid_token","error_description":"it ended"}"#, "invalid_token it ended"),
            (r#"{"error":{"code":404,"message":"no project"}}"#, "404 no project"),
            (r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"by rule 7"}"#, "Forbidden: by rule 7"),
            (r#"{"message":"over quota"}"#, "over quota"),
            (r#""denied""#, "denied"),
            ("[]", ""),
            ("{}", ""),
            ("", ""),
            ("quota exceeded\r\nask ann\n", "quota exceeded ask ann"),
            ("\u{1b}[31mred\u{202e}txt\u{2066}\u{0}", ""),
            ("\u{1b}[31mred\u{202e}txt\u{2066}", "[31mredtxt"),
            ("{\"message\":\"\\u001b[2Ja\\u202eb\\u2069\"}", "[2Jab"),
            (
                "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
                "AccessDenied Request has expired",
            ),
            (
                "\u{feff}<Error><Code>AccessDenied</Code><Message>a &lt;b&gt; &amp;lt;</Message><Details>ann has \
                 no right</Details></Error>",
                "AccessDenied a <b> &lt; ann has no right",
            ),
            ("<Other/>", ""),
            ("<!DOCTYPE html>\n<html><head><TITLE lang=en>Sign\n in</TITLE>", "a web page, `Sign in`"),
            ("<html></html>", "a web page"),
            ("<?xml version=\"1.0\"?>\n<html><title>T</title></html>", "a web page, `T`"),
        ] {
            assert_eq!(reason(body.as_bytes()), told, "{body}");
        }
        assert_eq!(reason(&b"x".repeat(LONGEST)), "x".repeat(LONGEST));
        for length in [LONGEST + 1, 100_000] {
            assert_eq!(reason(&b"x".repeat(length)), format!("{}…", "x".repeat(LONGEST)));
        }
        assert_eq!(reason(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}

//! Lines whose fields have no names: those of files of users and their passwords, and what `chpasswd` is given.

use std::ops::Range;

use super::assigned::Line;
use super::names::reference;

/// Ways to write a password down (RFC 2307, and those of Dovecot's "Password Schemes").
const SCHEMES: [&str; 20] = [
    "ARGON2I",
    "ARGON2ID",
    "BLF-CRYPT",
    "CLEARTEXT",
    "CRAM-MD5",
    "CRYPT",
    "DIGEST-MD5",
    "MD5",
    "MD5-CRYPT",
    "PBKDF2",
    "PLAIN",
    "PLAIN-MD5",
    "SHA",
    "SHA256",
    "SHA512",
    "SHA512-CRYPT",
    "SMD5",
    "SSHA",
    "SSHA256",
    "SSHA512",
];
/// Characters of a hash of crypt(3) as it was at first.
const DES: usize = 13;
/// What cloud-init takes for a password of its own making.
const MADE: [&str; 2] = ["R", "RANDOM"];

/// Where the lines have passwords.
pub(super) fn all(lines: &[Line<'_>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        found.extend(record(line.text).into_iter().chain(schemes(line.text)).map(|place| placed(line, place)));
        let given = heredoc(&lines[at..]).or_else(|| cloud_init(&lines[at..], &mut found));
        for line in &lines[at + 1..at + 1 + given.unwrap_or(0)] {
            found.extend(pair(line.text).map(|place| placed(line, place)));
        }
        at += 1 + given.unwrap_or(0);
    }
    found
}

fn placed(line: &Line<'_>, place: Range<usize>) -> Range<usize> {
    line.start + place.start..line.start + place.end
}

/// The fields of a line, and where they are; `\:` separates none.
fn fields(line: &str) -> Vec<Range<usize>> {
    let (mut found, mut start, mut escaped) = (Vec::new(), line.len() - line.trim_start().len(), false);
    let end = line.trim_end().len().max(start);
    let first = start;
    for (at, c) in line[..end].char_indices().skip_while(|(at, _)| *at < first) {
        if c == ':' && !escaped {
            found.push(start..at);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    found.push(start..end);
    found
}

/// The password of a line that is one of shadow(5), smbpasswd(5), of PostgreSQL's `.pgpass`, of Apache's `htpasswd` and
/// `htdigest`, or of Postfix's `sasl_passwd`.
fn record(line: &str) -> Vec<Range<usize>> {
    let places = fields(line);
    let text: Vec<&str> = places.iter().map(|place| &line[place.clone()]).collect();
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let field = |at: usize| vec![places[at].clone()];
    match text[..] {
        [user, hash] if is_user(user) && is_des(hash) => field(1),
        [user, realm, hash] if is_user(user) && !realm.is_empty() && hex(hash, 32) => field(2),
        [user, hash, ref rest @ ..]
            if rest.len() == 7
                && is_user(user)
                && rest.iter().all(|text| number(text))
                && hash.contains(|c: char| c.is_ascii_alphanumeric())
                && hash != "x" =>
        {
            field(1)
        }
        [user, id, lanman, nt, ..] if is_user(user) && number(id) && lanman.len() == 32 && hex(nt, 32) => {
            vec![places[2].clone(), places[3].clone()]
        }
        [host, port, database, user, password, ..]
            if (port == "*" || !port.is_empty() && number(port))
                && is_host(host)
                && (user == "*" || user.contains(char::is_alphabetic))
                && ![database, user, password].iter().any(|text| text.is_empty())
                && !text[..4].iter().any(|text| text.contains([' ', '\t', '"', '\'', '/']))
                && reference(password).is_none() =>
        {
            let end = places.last().map_or(places[4].end, |last| last.end);
            let password = places[4].start..end;
            vec![password]
        }
        _ => relay(line).into_iter().collect(),
    }
}

/// `[host]:port user:password`.
fn relay(line: &str) -> Option<Range<usize>> {
    let (host, login) = line.trim().split_once(char::is_whitespace)?;
    let (name, port) = host.strip_prefix('[')?.split_once(']')?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let login = login.trim_start();
    let start = line.trim_end().len() - login.len();
    let place = pair(login).filter(|_| name.contains('.') && is_port)?;
    Some(start + place.start..start + place.end)
}

/// What stands behind `{SSHA}` and the like.
fn schemes(line: &str) -> Vec<Range<usize>> {
    let of = |(open, _): (usize, &str)| {
        let (scheme, value) = line[open + 1..].split_once('}')?;
        let scheme = scheme.split('.').next().unwrap_or_default();
        let begins = line[..open].chars().next_back().is_none_or(|c| c.is_whitespace() || ":=\"'".contains(c));
        let length = value.find(|c: char| c.is_whitespace() || ":,;\"'".contains(c)).unwrap_or(value.len());
        let start = line.len() - value.len();
        (begins && length >= 4 && SCHEMES.contains(&scheme)).then_some(start..start + length)
    };
    line.match_indices('{').filter_map(of).collect()
}

/// The password of `user:password`, up to the end of the line.
fn pair(line: &str) -> Option<Range<usize>> {
    let begin = line.len() - line.trim_start_matches([' ', '\t', '-', '"', '\'']).len();
    let (user, rest) = line[begin..].split_once(':')?;
    let end = line.trim_end_matches([' ', '\t', '"', '\'', ',', ']', '}']).len();
    let start = begin + user.len() + 1;
    let password = line.get(start..end).filter(|password| !password.is_empty() && !rest.starts_with([' ', '\t']))?;
    (is_user(user) && reference(password).is_none() && !MADE.contains(&password)).then_some(start..end)
}

/// The number of lines of the here-document that the first line gives to `chpasswd`.
fn heredoc(lines: &[Line<'_>]) -> Option<usize> {
    let line = lines.first()?.text;
    let (_, behind) = line.split_once("<<").filter(|_| line.contains("chpasswd") || line.contains("newusers"))?;
    let word = behind.strip_prefix('-').unwrap_or(behind).trim_start();
    let word = word.split(|c: char| c.is_whitespace() || "|;&)".contains(c)).next()?.trim_matches(['"', '\'', '\\']);
    let named = !word.is_empty() && !word.starts_with('<');
    lines[1..].iter().position(|line| named && line.text.trim() == word)
}

/// The number of lines below the first one, `chpasswd:`, up to the end of the `list` that it has. What of a list stands
/// behind its name is in `found`.
fn cloud_init(lines: &[Line<'_>], found: &mut Vec<Range<usize>>) -> Option<usize> {
    let key = |line: &Line<'_>, name: &str| {
        let text = line.text.trim_start().trim_start_matches("- ").trim_start_matches(['"', '\'']);
        let behind = text.strip_prefix(name)?.trim_start_matches(['"', '\'']).strip_prefix(':')?;
        (behind.is_empty() || behind.starts_with(char::is_whitespace)).then(|| line.text.len() - behind.len())
    };
    let indent = |line: &Line<'_>| line.text.len() - line.text.trim_start().len();
    let blank = |line: &Line<'_>| line.text.trim().is_empty();
    let first = lines.first()?;
    // What stands behind it is masked as a whole, as its name is that of a password.
    key(first, "chpasswd")?;
    let below = lines[1..].iter().position(|line| !blank(line) && indent(line) <= indent(first));
    let block = &lines[1..1 + below.unwrap_or(lines.len() - 1)];
    let (at, start) = block.iter().enumerate().find_map(|(at, line)| Some((at, key(line, "list")?)))?;
    list(&block[at], start, found);
    let item = |line: &Line<'_>| indent(line) == indent(&block[at]) && line.text.trim_start().starts_with("- ");
    let inside = |line: &&Line<'_>| blank(line) || indent(line) > indent(&block[at]) || item(line);
    Some(at + 1 + block[at + 1..].iter().take_while(inside).count())
}

/// What stands behind the name of a list, on its line, from `from` on: texts in quotes or in brackets.
fn list(line: &Line<'_>, from: usize, found: &mut Vec<Range<usize>>) {
    let mut at = from;
    for word in line.text[from..].split(['[', ',', ']', '}']) {
        let blank = word.len() - word.trim_start_matches([' ', ':', '"', '\'']).len();
        let place = pair(&word[blank..]);
        found.extend(place.map(|place| placed(line, at + blank + place.start..at + blank + place.end)));
        at += word.len() + 1;
    }
}

fn is_user(text: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || "_-.@$+".contains(c);
    !text.is_empty() && text.len() <= 64 && text.chars().all(of_name)
}

/// True for a host of a `.pgpass`, and for nothing that is a part of a time or of an address.
fn is_host(text: &str) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
    text == "*" || text.len() > 2 && text.chars().all(of_name) && !text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// True for what is a hash of crypt(3) as it was at first, and for hardly anything else.
fn is_des(text: &str) -> bool {
    let has = |of: fn(char) -> bool| text.contains(of);
    text.len() == DES
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c))
        && has(|c| c.is_ascii_uppercase())
        && has(|c| c.is_ascii_lowercase())
        && has(|c| c.is_ascii_digit() || "./".contains(c))
}

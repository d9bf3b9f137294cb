//! Texts of files that nobody has declared secrets of: what in them lets somebody in, going by how it is written.

use std::ops::Range;

use self::assigned::Line;
use super::query::parameters;
use super::token;
use super::userinfo::{self, Reading};

mod assigned;
mod markup;
mod names;
mod records;
#[cfg(test)]
mod tests;
mod words;

const SHOWN: &str = "***";
/// Begin and end the lines of a private key (RFC 7468).
const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "-----END ";
const DASHES: &str = "-----";

/// `text` with `***` in place of values that let somebody in: passwords and tokens in URLs, what is assigned to a name of a
/// secret or follows one, also on the next line and in markup, passwords of command lines, of files of users
/// and of what `chpasswd` is given, what begins as tokens do, hashes
/// of passwords, private keys. It has as many lines as before.
pub fn without_credentials(text: &str) -> String {
    let mut places: Vec<Range<usize>> = token::all(text);
    let userinfos = userinfo::all(text, Reading::Script).into_iter();
    places.extend(userinfos.map(|found| found.place.start..found.place.end - 1));
    places.extend(parameters(text).into_iter().map(|found| found.place));
    places.extend(markup::all(text));
    let lines = lines(text);
    places.extend(records::all(&lines));
    let mut key = false;
    for (at, line) in lines.iter().enumerate() {
        let placed = |place: Range<usize>| line.start + place.start..line.start + place.end;
        if key {
            let end = line.text.find(KEY_ENDS);
            key = end.is_none();
            places.push(placed(0..end.unwrap_or(line.text.len())));
            continue;
        }
        places.extend(assigned::all(&lines, at));
        places.extend(words::all(line.text).into_iter().map(placed));
        if words::goes_on(line.text)
            && let Some(next) = lines.get(at + 1)
        {
            let value = next.text.trim_start();
            let start = next.start + next.text.len() - value.len();
            let length = value.find(char::is_whitespace).unwrap_or(value.len());
            places.push(start..start + length);
        }
        if let Some(found) = key_of(line.text) {
            key = !line.text[found.end..].starts_with(KEY_ENDS);
            places.push(placed(found));
        }
    }
    let places = places.into_iter().flat_map(|place| by_line(text, place)).collect();
    replaced(text, places)
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let of = |line: &'_ str| {
        let begin = start;
        start += line.len();
        begin
    };
    let starts: Vec<usize> = text.split_inclusive('\n').map(of).collect();
    let texts = text.split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r']));
    starts.into_iter().zip(texts).map(|(start, text)| Line { text, start }).collect()
}

/// What of a private key stands on the line on which it begins.
fn key_of(line: &str) -> Option<Range<usize>> {
    let begin = line.find(KEY_BEGINS)? + KEY_BEGINS.len();
    let label = line[begin..].find(DASHES)?;
    let start = begin + label + DASHES.len();
    line[begin..begin + label].contains("PRIVATE KEY").then(|| {
        let end = line[start..].find(KEY_ENDS).map_or(line.len(), |length| start + length);
        start..end
    })
}

/// The parts of `place` on each of its lines, without blanks around them: lines stay lines.
fn by_line(text: &str, place: Range<usize>) -> Vec<Range<usize>> {
    let mut start = place.start;
    let mut found = Vec::new();
    for line in text[place].split_inclusive('\n') {
        let value = line.trim();
        let begin = start + line.len() - line.trim_start().len();
        found.extend((!value.is_empty()).then_some(begin..begin + value.len()));
        start += line.len();
    }
    found
}

fn replaced(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for place in places {
        if place.start >= done {
            out.push_str(&text[done..place.start]);
            out.push_str(SHOWN);
        }
        done = done.max(place.end);
    }
    out + &text[done..]
}

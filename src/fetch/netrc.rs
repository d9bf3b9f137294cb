//! `~/.netrc`, as curl, git and ftp read it: user and password of machines.

/// User and password for one host.
#[derive(Clone, PartialEq, Eq)]
pub struct Machine {
    /// The host.
    pub name: String,
    /// The user.
    pub login: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({})", self.name)
    }
}

/// Machines of the file `text`. Its `default` is for no machine here: what a blueprint names is not for its user to
/// foresee. An error is the number of a wrong line, and what is wrong with it, without what it holds.
pub fn machines(text: &str) -> Result<Vec<Machine>, (usize, &'static str)> {
    let (mut found, mut of_default, mut macro_lines) = (Vec::<Machine>::new(), false, false);
    // A word whose value may stand on the next line.
    let mut wanted: Option<String> = None;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if macro_lines {
            macro_lines = !line.trim().is_empty();
            continue;
        }
        if line.trim_start().starts_with('#') {
            continue;
        }
        for word in words(line).map_err(|wrong| (index + 1, wrong))? {
            match wanted.take().as_deref() {
                None if word == "default" => of_default = true,
                None if ["machine", "login", "password", "account", "macdef"].contains(&word.as_str()) => {
                    wanted = Some(word);
                }
                None => return Err((index + 1, "a word that is none of machine, login, password, account, macdef")),
                Some("machine") => {
                    of_default = false;
                    found.push(Machine { name: word, login: String::new(), password: String::new() });
                }
                Some("macdef") => {
                    macro_lines = true;
                    break;
                }
                Some(_) if of_default => {}
                Some(field) => {
                    let machine = found.last_mut().ok_or((index + 1, "no `machine` stands before this"))?;
                    match field {
                        "login" => machine.login = word,
                        "password" => machine.password = word,
                        _ => {}
                    }
                }
            }
        }
    }
    if wanted.is_some() {
        return Err((text.lines().count(), "the file ends where a value should stand"));
    }
    Ok(found)
}

/// Words between white space, or between `"`, where a backslash escapes.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut out, mut rest) = (Vec::new(), line.trim_start());
    while !rest.is_empty() {
        let (mut word, mut end) = (String::new(), None);
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = Some(1 + at + 1);
                        break;
                    }
                    '\\' => word.extend(chars.next().map(|(_, c)| c)),
                    c => word.push(c),
                }
            }
        } else {
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            word.push_str(&rest[..length]);
            end = Some(length);
        }
        rest = rest[end.ok_or("a quote is not closed")?..].trim_start();
        out.push(word);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, String)> {
        machines(text).unwrap().into_iter().map(|one| (one.name, one.login, one.password)).collect()
    }

    #[test]
    fn machines_in_all_forms() {
        let text = "# mine\nmachine a.example login ann password p#w\nmachine\n b.example\n\tlogin bob\n  account x\n\
                    password \"p w\\\"q\"\nmacdef init\ncd /machine\npassword no\n\nmachine c password only\n\
                    default login anonymous password me@\n";
        let of = |name: &str, login: &str, password: &str| (name.to_owned(), login.to_owned(), password.to_owned());
        let all = [of("a.example", "ann", "p#w"), of("b.example", "bob", "p w\"q"), of("c", "", "only")];
        assert_eq!(read(text), all);
        assert_eq!(read("default login x password y\nmachine d login e password f"), [of("d", "e", "f")]);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, line) in [
            ("machine a\nuser s3cret", 2),
            ("login s3cret", 1),
            ("machine a\npassword \"s3cret", 2),
            ("machine a\npassword", 2),
        ] {
            let (found, wrong) = machines(text).unwrap_err();
            assert_eq!(found, line, "{text}");
            assert!(!wrong.contains("s3cret"));
        }
    }
}

//! Passwords of the site's mirrors, for apt: in a file that is lent, not in the sources, which are part of the image
//! (apt_auth.conf(5)).

use crate::fetch::Login;

/// The file of [`super::PLACE`].
pub const AUTH_CONF: &str = "auth.conf";

/// The file, if there is something to put into it. Older apts know machines without a scheme alone; newer ones take
/// those for https. Who has a user alone has an empty password.
pub fn auth_conf(logins: &[Login]) -> Option<String> {
    let mut text = String::new();
    for Login { place, user, password } in logins.iter().filter(|login| can_be_told(login)) {
        let bare = place.split_once("://").map_or(place.as_str(), |(_, bare)| bare);
        for machine in [place, bare] {
            let words = [("login", user), ("password", password)];
            let words = words.iter().filter(|(_, value)| !value.is_empty());
            let words: String = words.map(|(name, value)| format!(" {name} {value}")).collect();
            text += &format!("machine {machine}{words}\n");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// What tasks will not be able to use: apt splits the file at white space, and quotes nothing.
pub fn untold(logins: &[Login]) -> impl Iterator<Item = String> {
    logins.iter().filter(|login| !can_be_told(login)).map(|login| {
        format!(
            "apt in tasks is not told who to be at {}: user or password have white space or begin with `#`, which \
             apt's auth.conf cannot hold. `alloy lock` makes such packages downloads of alloy's own",
            login.place
        )
    })
}

fn can_be_told(login: &Login) -> bool {
    let word = |word: &str| !word.contains(|c: char| c.is_whitespace() || c.is_control()) && !word.starts_with('#');
    let said = !login.user.is_empty() || !login.password.is_empty();
    said && word(&login.user) && word(&login.password) && word(&login.place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_told_passwords_by_a_file() {
        let login = |password: &str| Login {
            place: "http://m.example:8080/debian".into(),
            user: "corp".into(),
            password: password.into(),
        };
        let expected = "machine http://m.example:8080/debian login corp password hunter2\n\
                        machine m.example:8080/debian login corp password hunter2\n";
        assert_eq!(auth_conf(&[login("hunter2"), login("a b")]).unwrap(), expected);
        assert_eq!(auth_conf(&[]), None);
        assert!(auth_conf(&[login("p#q")]).unwrap().contains("login corp password p#q\n"));
        assert!(auth_conf(&[login("")]).unwrap().ends_with("debian login corp\n"));
        let untold: Vec<String> = untold(&[login("hunter2"), login("a b"), login("#x")]).collect();
        assert!(untold.len() == 2 && untold.iter().all(|text| text.contains("at http://m.example:8080/debian: ")));
    }
}

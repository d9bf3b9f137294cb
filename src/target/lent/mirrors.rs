//! Passwords of the site's mirrors, for apt: in a file that is lent, not in the sources, which are part of the image
//! (apt_auth.conf(5)).

use crate::fetch::Login;

/// The file of [`super::PLACE`].
pub const AUTH_CONF: &str = "auth.conf";

/// The file, if there is something to put into it. Older apts know machines without a scheme alone; newer ones take
/// those for https. What the format cannot quote is left out.
pub fn auth_conf(logins: &[Login]) -> Option<String> {
    let mut text = String::new();
    let word =
        |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
    for Login { place, user, password } in logins {
        if word(user) && word(password) && word(place) {
            let bare = place.split_once("://").map_or(place.as_str(), |(_, bare)| bare);
            for machine in [place, bare] {
                text += &format!("machine {machine} login {user} password {password}\n");
            }
        }
    }
    (!text.is_empty()).then_some(text)
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
    }
}

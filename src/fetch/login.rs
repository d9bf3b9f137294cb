//! Who this site is to servers that want to know: kept apart from URLs, since URLs are written down.

use url::Url;

use super::address::without_credentials;
use crate::op::percent_decoded;

/// User and password for what lies below a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The URL, without them and without a slash at its end.
    pub place: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.place)
    }
}

/// `url` without `user:password@` and without a slash at its end, and these.
pub fn taken_apart(url: &str) -> (String, Option<Login>) {
    let place = without_credentials(url).trim_end_matches('/').to_owned();
    let parsed = Url::parse(url).ok().filter(|url| !url.username().is_empty() || url.password().is_some());
    let login = parsed.map(|url| Login {
        place: place.clone(),
        user: percent_decoded(url.username()),
        password: percent_decoded(url.password().unwrap_or_default()),
    });
    (place, login)
}

/// `url` with the login for it; one that has its own keeps it.
pub(super) fn put_in(url: String, logins: &[Login]) -> String {
    let fits =
        |login: &&Login| url.strip_prefix(&login.place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some(login) = logins.iter().find(fits) else { return url };
    let Ok(mut parsed) = Url::parse(&url) else { return url };
    // What has to be encoded is, but for the sign of what is encoded.
    let [user, password] = [&login.user, &login.password].map(|word| word.replace('%', "%25"));
    let done = parsed.set_username(&user).and_then(|()| parsed.set_password(Some(&password)));
    if done.is_ok() { parsed.into() } else { url }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_apart_and_put_in_where_it_belongs() {
        let (place, login) = taken_apart("http://corp:p%40ss@m.example:8080/debian/");
        assert_eq!(place, "http://m.example:8080/debian");
        let logins = [login.unwrap()];
        assert_eq!((logins[0].user.as_str(), logins[0].password.as_str()), ("corp", "p@ss"));
        assert!(!format!("{logins:?}").contains("p@ss"));
        let asked = put_in(format!("{place}/dists/x"), &logins);
        assert_eq!(asked, "http://corp:p%40ss@m.example:8080/debian/dists/x");
        let login = Login { password: "p#\"'%41".into(), ..logins[0].clone() };
        assert_eq!(taken_apart(&put_in(place, std::slice::from_ref(&login))).1, Some(login));
        for other in ["http://m.example:8080/debian-security/x", "http://m.example/debian/x", "file:///x"] {
            assert_eq!(put_in(other.to_owned(), &logins), other);
        }
        assert_eq!(taken_apart("http://m.example/debian"), ("http://m.example/debian".to_owned(), None));
    }
}

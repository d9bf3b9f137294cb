//! What a system says of itself (os-release(5)).

/// The value of a field, without its quotes; `None` where there is no such line or nothing in it.
pub fn os_release<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::os_release;

    #[test]
    fn fields_with_and_without_quotes() {
        let text = "NAME=\"Debian GNU\"\nID=debian\nVERSION_ID='12'\nHOME_URL=\n";
        let found = ["NAME", "ID", "VERSION_ID", "HOME_URL", "VERSION"].map(|name| os_release(text, name));
        assert_eq!(found, [Some("Debian GNU"), Some("debian"), Some("12"), None, None]);
    }
}

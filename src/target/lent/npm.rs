//! Where this site's packages of npm come from: of npm's configuration, what says which registries there are and who we
//! are to them (npm docs, "npmrc"). What says where to install is the image's affair.

/// Options that count for one registry, behind its address.
const LOGINS: [&str; 5] = ["_authToken", "_auth", "username", "_password", "email"];

/// The lines of `text` that count, with what `${NAME}` in them stands for, and the registry that the environment names.
pub fn lines(text: &str, var: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut kept = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let of_registry = key.starts_with("//") && key.rsplit(':').next().is_some_and(|name| LOGINS.contains(&name));
        let names = key == "registry" || key.starts_with('@') && key.ends_with(":registry");
        if names || of_registry {
            kept += &format!("{key} = {}\n", expanded(value, &var));
        }
    }
    let named = ["npm_config_registry", "NPM_CONFIG_REGISTRY"].into_iter().find_map(&var);
    kept.extend(named.filter(|url| !url.is_empty()).map(|url| format!("registry = {url}\n")));
    (!kept.is_empty()).then_some(kept)
}

/// The values of such lines that let somebody in.
pub fn passwords(lines: &str) -> Vec<String> {
    let secret = |line: &str| {
        let (key, value) = line.split_once(" = ")?;
        let kind = key.rsplit(':').next()?;
        (key.starts_with("//") && kind.starts_with('_')).then(|| value.trim_matches('"').to_owned())
    };
    lines.lines().filter_map(secret).collect()
}

/// `${NAME}` is a variable of whoever runs npm, which tasks do not have.
fn expanded(value: &str, var: &impl Fn(&str) -> Option<String>) -> String {
    let (mut text, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        text += before;
        text += &var(name).unwrap_or_else(|| format!("${{{name}}}"));
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_who_we_are_to_them() {
        let text = "# mine\nprefix=/opt/x\nregistry=https://r.example/\n@s:registry = https://s.example/npm/\n\
                    //s.example/npm/:_authToken=${S_TOKEN}\n//s.example/npm/:certfile=/x\nscript-shell=/bin/evil\n";
        let var = |name: &str| (name == "S_TOKEN").then(|| "hunter2".to_owned());
        let kept = lines(text, var).unwrap();
        let expected = "registry = https://r.example/\n@s:registry = https://s.example/npm/\n\
                        //s.example/npm/:_authToken = hunter2\n";
        assert_eq!(kept, expected);
        assert_eq!(passwords(&kept), ["hunter2"]);
        assert_eq!(lines("prefix=/opt/x\n", var), None);
        let named = |name: &str| (name == "NPM_CONFIG_REGISTRY").then(|| "https://n.example/".to_owned());
        assert_eq!(lines("", named).unwrap(), "registry = https://n.example/\n");
    }
}

//! Where this site's packages of npm come from: of npm's configuration, what says which registries there are and who we
//! are to them (npm docs, "npmrc"). What says where to install is the image's affair.

/// Options that count for one registry, behind its address.
const LOGINS: [&str; 5] = ["_authToken", "_auth", "username", "_password", "email"];

/// The public registry. Who has a login there publishes with it: no task needs that.
const PUBLIC: &str = "//registry.npmjs.org/";

/// The lines of `text` that count, with what `${NAME}` in them stands for, and the registry that the environment names.
/// Logins are those of registries that are named, and of no others.
pub fn lines(text: &str, var: impl Fn(&str) -> Option<String>) -> Option<String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
        Some((key.trim().to_owned(), expanded(value.trim(), &var)))
    };
    let pairs: Vec<(String, String)> = text.lines().map(str::trim).filter_map(pair).collect();
    let names = |key: &str| key == "registry" || key.starts_with('@') && key.ends_with(":registry");
    let mut registries: Vec<(String, String)> = pairs.iter().filter(|(key, _)| names(key)).cloned().collect();
    let named = ["npm_config_registry", "NPM_CONFIG_REGISTRY"].into_iter().find_map(&var);
    registries.extend(named.filter(|url| !url.is_empty()).map(|url| ("registry".to_owned(), url)));
    let belongs = |key: &str| {
        let Some((place, name)) = key.rsplit_once(':') else { return false };
        let named = |(_, url): &(String, String)| {
            let bare = url.find("//").map_or("", |at| &url[at..]);
            format!("{}/", bare.trim_end_matches('/')).starts_with(place)
        };
        let of_host = place.len() > 2 && place.starts_with("//") && place != PUBLIC;
        of_host && LOGINS.contains(&name) && registries.iter().any(named)
    };
    let logins = pairs.iter().filter(|(key, _)| belongs(key));
    let kept: String = registries.iter().chain(logins).map(|(key, value)| format!("{key} = {value}\n")).collect();
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

/// Of such lines, where registries are that want to know who asks, and the value of the header that says it.
pub fn tokens(lines: &str) -> Vec<(String, String)> {
    let pairs: Vec<(&str, &str)> = lines.lines().filter_map(|line| line.split_once(" = ")).collect();
    let urls = pairs.iter().filter(|(key, _)| !key.starts_with("//")).map(|(_, url)| *url);
    let place = |url: &str, place: &str| {
        let at = url.find("//").filter(|at| format!("{}/", url[*at..].trim_end_matches('/')).starts_with(place))?;
        Some(format!("{}{place}", &url[..at]))
    };
    let mut found = Vec::new();
    for url in urls {
        for (key, value) in &pairs {
            let Some((at, kind)) = key.rsplit_once(':').filter(|(at, _)| at.starts_with("//")) else { continue };
            let value = value.trim_matches('"');
            let says = match kind {
                "_authToken" => format!("Bearer {value}"),
                "_auth" => format!("Basic {value}"),
                _ => continue,
            };
            let one = place(url, at).map(|place| (place, says));
            found.extend(one.filter(|one| !found.contains(one)));
        }
    }
    found
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
        let text = &format!(
            "# mine\nprefix=/opt/x\nregistry=https://r.example/\n@s:registry = https://s.example/npm/\n\
                    //s.example/npm/:_authToken=${{S_TOKEN}}\n//s.example/npm/:certfile=/x\nscript-shell=/bin/evil\n\
                    {PUBLIC}:_authToken=publisher\n//other.example/:_authToken=other\n"
        );
        let var = |name: &str| (name == "S_TOKEN").then(|| "hunter2".to_owned());
        let kept = lines(text, var).unwrap();
        let expected = "registry = https://r.example/\n@s:registry = https://s.example/npm/\n\
                        //s.example/npm/:_authToken = hunter2\n";
        assert_eq!(kept, expected);
        assert_eq!(passwords(&kept), ["hunter2"]);
        assert_eq!(tokens(&kept), [("https://s.example/npm/".to_owned(), "Bearer hunter2".to_owned())]);
        assert_eq!(lines("prefix=/opt/x\n//a.example/:_authToken=x\n", var), None);
        let public = format!("registry=https:{PUBLIC}\n{PUBLIC}:_authToken=publisher\n");
        assert_eq!(lines(&public, var).unwrap(), format!("registry = https:{PUBLIC}\n"));
        let named = |name: &str| (name == "NPM_CONFIG_REGISTRY").then(|| "https://n.example/".to_owned());
        assert_eq!(lines("", named).unwrap(), "registry = https://n.example/\n");
    }
}

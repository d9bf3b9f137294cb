//! What the machine lends to a sandbox and no layer ever holds: resolver, CA bundle, proxies, and the site's own
//! mirrors of packages and crates.
//!
//! Nothing that a command can write is believed by another build, and alloy follows no name in it. Resolver, hosts, CA
//! bundle and directories of wheels are read-only mounts; so is [`PLACE`], with settings of apt, pip, npm and cargo; no cache of
//! theirs is lent. What apt leaves is private to the build, and outlives it only as `aptcache` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fetch::Login;
use crate::op::{passwords_of, without_logins};
use crate::sandbox::Bind;

mod cargo;
mod mirrors;
mod npm;
mod pip;
mod place;

pub use mirrors::AUTH_CONF;
pub use place::Place;

/// Where lent files appear; below `/run`, which is not part of a layer.
pub const PLACE: &str = "/run/alloy";

/// The directory of [`PLACE`] by which a command finds the agent that it is lent.
pub const SSH: &str = "ssh";

/// Where distributions keep the bundle of trusted certificates.
const CA_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables by which the programs of a build find that bundle.
const CA_VARIABLES: [&str; 7] = [
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// Variables handed on as they are: how this site reaches the network.
const HANDED_ON: [&str; 12] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "CARGO_HTTP_CHECK_REVOKE",
    "CARGO_HTTP_MULTIPLEXING",
    "CARGO_HTTP_PROXY",
    "CARGO_HTTP_TIMEOUT",
    "CARGO_NET_GIT_FETCH_WITH_CLI",
    "CARGO_NET_RETRY",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
];

/// Bytes of a configuration file that is read.
const CONFIG_LIMIT: u64 = 16 << 20;

/// The file of [`PLACE`] that has the registries of cargo; cargo reads it where `rust_package` points to it.
const CARGO_CONFIG: &str = "cargo.toml";

/// The file of [`PLACE`] that has the registries of npm; npm reads it where `npm_package` points to it.
const NPM_CONFIG: &str = "npmrc";

/// The file of [`PLACE`] that has what of pip's options holds a password.
const PIP_CONFIG: &str = "pip.conf";

/// The one of [`HANDED_ON`] that is no address: it lists hosts.
const NO_PROXY: &str = "no_proxy";

/// Passwords of the value of a variable that is lent, as they stand there and as they are meant.
fn passwords_of_variable(name: &str, value: &str) -> Vec<String> {
    match name {
        _ if name.eq_ignore_ascii_case(NO_PROXY) => Vec::new(),
        _ if pip::LISTS.contains(&name) => value.split_whitespace().flat_map(|word| passwords_of(word, true)).collect(),
        _ => passwords_of(value, true),
    }
}

/// Loans of this machine, as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lent {
    /// Variables for every command.
    pub env: BTreeMap<String, String>,
    /// Files and directories for every command.
    pub binds: Vec<Bind>,
    /// Names in `PLACE`, and contents, of files that are made for the sandbox.
    pub files: BTreeMap<String, String>,
}

impl Lent {
    /// What commands on the machine itself are handed: proxies, indexes of packages and certificates, as far as they
    /// stand in the environment. All else they find where it is.
    pub fn environment(var: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let mut env = pip::variables(var, &[]);
        for name in HANDED_ON.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]) {
            env.extend(var(&name).map(|value| (name, value)));
        }
        for name in CA_VARIABLES {
            env.extend(var(name).map(|value| (name.to_owned(), value)));
        }
        env
    }

    /// What tasks are lent: looks at the machine; `var` reads the environment.
    pub fn by_this_machine(var: impl Fn(&str) -> Option<String>) -> Self {
        let mut lent = Self::to_any_image(&var);
        for name in HANDED_ON {
            for name in [name.to_owned(), name.to_uppercase()] {
                if let Some(value) = var(&name).filter(|value| !value.is_empty()) {
                    lent.env.insert(name, value);
                }
            }
        }
        lent.pip(&var);
        lent.cargo(&var);
        lent.npm(&var);
        lent
    }

    /// What `alloy run` lends to whatever image it is told to run: names of hosts and certificates. Who trusts an image
    /// with more says so with `-e` and `-v`.
    pub fn to_any_image(var: impl Fn(&str) -> Option<String>) -> Self {
        let mut lent = Self::default();
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            if Path::new(file).exists() {
                lent.lend(file, file);
            }
        }
        let bundle = var("SSL_CERT_FILE").into_iter().chain(CA_BUNDLES.map(str::to_owned));
        if let Some(bundle) = bundle.map(PathBuf::from).find(|path| path.is_file()) {
            let target = format!("{PLACE}/ca-certificates.crt");
            lent.env.extend(CA_VARIABLES.map(|name| (name.to_owned(), target.clone())));
            lent.lend(bundle, target);
        }
        lent
    }

    /// Who this site is to its indexes of Python packages: what is pinned of them, alloy fetches itself.
    pub fn logins(var: impl Fn(&str) -> Option<String>) -> Vec<Login> {
        pip::logins(&Self::pip_variables(&var))
    }

    /// Who this site is to its registries of npm: where they are, and the value of `Authorization`.
    pub fn npm_tokens(var: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        npm::tokens(&Self::npm_lines(&var).unwrap_or_default())
    }

    /// The index of Python packages, where it is not the public one; without who asks.
    pub fn python_index(&self) -> Option<String> {
        let line = |text: &String| text.lines().find_map(|line| line.strip_prefix("index-url = ").map(str::to_owned));
        let url = self.env.get("PIP_INDEX_URL").cloned().or_else(|| self.files.get(PIP_CONFIG).and_then(line))?;
        Some(without_logins(&url))
    }

    /// What pip is told by the environment, else by the files of whoever runs alloy.
    fn pip_variables(var: &impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let home = |path: &str| var("HOME").map(|home| format!("{home}/{path}"));
        let config = var("XDG_CONFIG_HOME").map(|config| format!("{config}/pip/pip.conf"));
        let places = [var("PIP_CONFIG_FILE"), config.or_else(|| home(".config/pip/pip.conf")), home(".pip/pip.conf")];
        let places = places.into_iter().flatten().chain(["/etc/pip.conf".to_owned()]);
        let files: Vec<String> =
            places.filter_map(|path| layers::regular::text(Path::new(&path), CONFIG_LIMIT).ok()).collect();
        pip::variables(var, &files)
    }

    fn pip(&mut self, var: &impl Fn(&str) -> Option<String>) {
        let mut variables = Self::pip_variables(var);
        if let Some(links) = variables.remove("PIP_FIND_LINKS") {
            // Directories of this machine have another place in the sandbox.
            let links: Vec<String> = links.split_whitespace().map(|link| self.link(link)).collect();
            variables.insert("PIP_FIND_LINKS".to_owned(), links.join(" "));
        }
        // What is in the environment, every program of every task has, and may show.
        let secret = variables.extract_if(.., |name, value| !passwords_of_variable(name, value).is_empty());
        let options: String = secret.map(|(name, value)| pip::option(&name, &value)).collect();
        if !options.is_empty() {
            self.files.insert(PIP_CONFIG.to_owned(), format!("[global]\n{options}"));
            self.env.insert("PIP_CONFIG_FILE".to_owned(), format!("{PLACE}/{PIP_CONFIG}"));
        }
        self.env.extend(variables);
    }

    /// The same with logins of the site's mirrors.
    #[must_use]
    pub fn with_logins(mut self, logins: &[Login]) -> Self {
        self.files.extend(mirrors::auth_conf(logins).map(|text| (AUTH_CONF.to_owned(), text)));
        self
    }

    /// What of `logins` tasks will not be able to use, in words.
    pub fn untold(logins: &[Login]) -> impl Iterator<Item = String> {
        mirrors::untold(logins)
    }

    /// Passwords in what is lent or handed on.
    pub fn passwords(var: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let lent = Self::by_this_machine(&var);
        let files = lent.files.values().flat_map(|text| text.lines());
        // A line is an option and its value, or one more value.
        let values = files.map(|line| line.split_once(" = ").map_or(line, |(_, value)| value));
        let in_files = values.flat_map(|value| passwords_of(value, true)).collect::<Vec<_>>();
        let on_a_host = Self::environment(var);
        let variables = lent.env.iter().chain(&on_a_host);
        let in_variables = variables.flat_map(|(name, value)| passwords_of_variable(name, value));
        let of_npm = lent.files.get(NPM_CONFIG).map(|text| npm::passwords(text)).unwrap_or_default();
        in_variables.chain(in_files).chain(of_npm).collect()
    }

    fn link(&mut self, link: &str) -> String {
        if !Path::new(link).is_dir() {
            return link.to_owned();
        }
        let target = format!("{PLACE}/wheels-{}", self.binds.len());
        self.lend(link, target.clone());
        target
    }

    fn cargo(&mut self, var: &impl Fn(&str) -> Option<String>) {
        let Some(home) = var("CARGO_HOME").or_else(|| var("HOME").map(|home| format!("{home}/.cargo"))) else { return };
        let read = |name: &str| layers::regular::text(&Path::new(&home).join(name), CONFIG_LIMIT).ok();
        let text = read("config.toml").or_else(|| read("config"));
        if let Some(registries) = text.as_deref().and_then(cargo::registries) {
            self.files.insert(CARGO_CONFIG.to_owned(), registries);
        }
    }

    /// The index that crates come from, where it is not the public one; `Err` where it is nothing that can be asked.
    pub fn crates_index(&self) -> Result<Option<String>, String> {
        self.files.get(CARGO_CONFIG).map_or(Ok(None), |text| cargo::index(text))
    }

    fn npm(&mut self, var: &impl Fn(&str) -> Option<String>) {
        self.files.extend(Self::npm_lines(var).map(|lines| (NPM_CONFIG.to_owned(), lines)));
    }

    /// What npm is told of registries by the file of whoever runs alloy.
    fn npm_lines(var: &impl Fn(&str) -> Option<String>) -> Option<String> {
        let named = var("npm_config_userconfig").or_else(|| var("NPM_CONFIG_USERCONFIG"));
        let path = named.or_else(|| var("HOME").map(|home| format!("{home}/.npmrc")));
        let text = path.and_then(|path| layers::regular::text(Path::new(&path), CONFIG_LIMIT).ok());
        npm::lines(&text.unwrap_or_default(), var)
    }

    fn lend(&mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        self.binds.push(Bind::lent(source, target));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_handed_on_and_nothing_else() {
        let lent = Lent::by_this_machine(|name| match name {
            "https_proxy" => Some("http://proxy.example.com:3128".into()),
            "NO_PROXY" => Some("localhost".into()),
            "HOME" => Some("/home/ann".into()),
            _ => None,
        });
        assert_eq!(lent.env["https_proxy"], "http://proxy.example.com:3128");
        assert_eq!(lent.env["NO_PROXY"], "localhost");
        assert!(!lent.env.contains_key("HOME"));
    }

    #[test]
    fn the_machine_itself_is_handed_what_its_environment_says() {
        let env = Lent::environment(|name| match name {
            "https_proxy" => Some("http://proxy.example.com:3128".into()),
            "PIP_INDEX_URL" => Some("https://pip.example".into()),
            "no_proxy" => Some(String::new()),
            "HOME" => Some("/home/ann".into()),
            _ => None,
        });
        assert_eq!(env.keys().collect::<Vec<_>>(), ["PIP_INDEX_URL", "https_proxy"]);
    }

    #[test]
    fn mirrors_of_the_site_are_lent() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/pip")).unwrap();
        std::fs::create_dir_all(home.path().join(".cargo")).unwrap();
        let wheels = home.path().to_str().unwrap();
        std::fs::write(home.path().join(".config/pip/pip.conf"), "[global]\nindex-url = https://pip.example\n")
            .unwrap();
        std::fs::write(home.path().join(".cargo/config.toml"), "[source.crates-io]\nreplace-with = 'x'\n").unwrap();
        let lent = Lent::by_this_machine(|name| match name {
            "HOME" => Some(wheels.to_owned()),
            "PIP_FIND_LINKS" => Some(format!("https://links.example {wheels}")),
            _ => None,
        });
        assert_eq!(lent.env["PIP_INDEX_URL"], "https://pip.example");
        let bind = lent.binds.iter().find(|bind| bind.source == home.path()).unwrap();
        let target = bind.target.to_str().unwrap();
        assert_eq!(lent.env["PIP_FIND_LINKS"], format!("https://links.example {target}"));
        assert_eq!(lent.files["cargo.toml"], "[source.\"crates-io\"]\nreplace-with = \"x\"\n");
    }

    #[test]
    fn passwords_are_in_no_environment() {
        let var = |name: &str| match name {
            "PIP_INDEX_URL" => Some("https://ann:p%40ss@pip.example/simple".to_owned()),
            "PIP_EXTRA_INDEX_URL" => Some("https://other.example/simple".to_owned()),
            _ => None,
        };
        let lent = Lent::by_this_machine(var);
        assert!(!format!("{:?}", lent.env).contains("ann"), "{:?}", lent.env);
        assert_eq!(lent.env["PIP_CONFIG_FILE"], "/run/alloy/pip.conf");
        assert_eq!(lent.env["PIP_EXTRA_INDEX_URL"], "https://other.example/simple");
        assert_eq!(lent.files["pip.conf"], "[global]\nindex-url = https://ann:p%40ss@pip.example/simple\n");
        assert!(Lent::passwords(var).contains(&"p@ss".to_owned()));
    }

    #[test]
    fn any_image_gets_no_settings_of_this_site() {
        let lent = Lent::to_any_image(|name| Some(format!("http://ann:hunter2@{name}.example")));
        assert!(!format!("{lent:?}").contains("hunter2"), "{lent:?}");
        assert!(lent.files.is_empty() && lent.binds.iter().any(|bind| bind.target == Path::new("/etc/hosts")));
    }

    #[test]
    fn a_password_holds_what_it_likes() {
        for value in [
            "https://ann:pa,ssW0rd2@h/",
            "https://ann:pa=ssW0rd2@h/",
            "https://ann:pa'ssW0rd2@h/",
            "https://ann:pa/ssW0rd2@h/",
            "https://ann:pa@ssW0rd2@h/",
            "//ann:ssW0rd2@h/",
            "ann:ssW0rd2@h/simple",
            "https://ssW0rd2@h/",
        ] {
            for name in ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"] {
                let list = format!("https://a.example/ {value}");
                let value = if name == "PIP_INDEX_URL" { value } else { &list };
                let lent = Lent::by_this_machine(|asked| (asked == name).then(|| value.to_owned()));
                assert!(!format!("{:?}", lent.env).contains("ssW0rd2"), "{value}: {:?}", lent.env);
                assert!(lent.files["pip.conf"].contains("ssW0rd2"), "{value}");
                let passwords = Lent::passwords(|asked| (asked == name).then(|| value.to_owned()));
                assert!(passwords.iter().any(|password| password.ends_with("ssW0rd2")), "{value}: {passwords:?}");
            }
            for name in ["http_proxy", "HTTPS_PROXY", "ftp_proxy", "CARGO_HTTP_PROXY"] {
                let passwords = Lent::passwords(|asked| (asked == name).then(|| value.to_owned()));
                assert!(passwords.iter().any(|password| password.ends_with("ssW0rd2")), "{value}: {passwords:?}");
            }
        }
        assert_eq!(Lent::passwords(|name| (name == "no_proxy").then(|| "ann:pw@h,b".into())), [""; 0]);
        assert_eq!(Lent::passwords(|name| (name == "PIP_TRUSTED_HOST").then(|| "h:80 g".into())), [""; 0]);
    }

    #[test]
    fn a_named_bundle_comes_before_the_usual_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let lent = Lent::by_this_machine(|name| (name == "SSL_CERT_FILE").then(|| path.clone()));
        let target = PathBuf::from(format!("{PLACE}/ca-certificates.crt"));
        let bind = lent.binds.iter().find(|bind| bind.target == target).unwrap();
        assert_eq!(bind.source, file.path());
        assert_eq!(lent.env["SSL_CERT_FILE"], target.to_str().unwrap());
    }
}

//! The config and manifest of a built image. Pure: the same parts give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use layers::digest::Digest;
use layers::media_type::{self, Descriptor};
use serde_json::{Map, Value, json};

use super::{Image, Layer, Manifest};
use crate::json;
use crate::plan::{ImageSpec, Platform};

/// A layer that was built.
#[derive(Clone, Debug)]
pub struct NewLayer {
    /// The task file.
    pub name: String,
    /// `None` when its tasks changed nothing.
    pub layer: Option<Layer>,
}

/// An image, ready to be stored.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The manifest's descriptor.
    pub descriptor: Descriptor,
}

/// The environment of a config, in its order. Of a name that is there twice, the last value counts, as for a shell: an
/// image that is built has it once.
pub fn config_env(config: &Value) -> Vec<(String, String)> {
    let list = config["config"]["Env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in list.iter().filter_map(|item| item.as_str()?.split_once('=')) {
        match env.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => env.push((name.to_owned(), value.to_owned())),
        }
    }
    env
}

/// What a login shell has of its own, root's and others' (login.defs(5), and Debian's /etc/profile).
const LOGIN_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/games:/usr/games";

/// What an image is to be besides its layers.
#[derive(Clone, Copy)]
pub struct Asked<'s> {
    /// What the blueprint says of it.
    pub spec: &'s ImageSpec,
    /// What a login shell sets.
    pub profile: &'s BTreeMap<String, String>,
}

/// Puts an image together: `base`, the layers on it, and what is asked of it.
pub fn compose(base: &Image, layers: &[NewLayer], asked: Asked<'_>, platform: &Platform, epoch: u64) -> Composed {
    let Asked { spec, profile } = asked;
    let created = timestamp(epoch);
    let mut config = base.config.as_object().cloned().unwrap_or_default();
    // The base's, and no more true.
    for field in ["container", "container_config", "docker_version", "id", "parent", "throwaway"] {
        config.remove(field);
    }
    config.insert("created".into(), json!(created));
    config.insert("architecture".into(), json!(platform.architecture));
    config.insert("os".into(), json!(platform.os));
    match &platform.variant {
        Some(variant) => config.insert("variant".into(), json!(variant)),
        None => config.remove("variant"),
    };
    match &spec.author {
        Some(author) => config.insert("author".into(), json!(author)),
        None => config.remove("author"),
    };
    let runtime = runtime(base, spec, profile);
    config.insert("config".into(), Value::Object(runtime));
    let all: Vec<&Layer> = base.layers.iter().chain(layers.iter().filter_map(|new| new.layer.as_ref())).collect();
    let diff_ids: Vec<String> = all.iter().map(|layer| layer.diff_id.to_string()).collect();
    config.insert("rootfs".into(), json!({"type": "layers", "diff_ids": diff_ids}));
    config.insert("history".into(), Value::Array(history(base, layers, &created)));
    let config = json::canonical(&Value::Object(config));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: Descriptor {
            media_type: media_type::OCI_CONFIG.to_owned(),
            digest: Digest::of(&config),
            size: config.len() as u64,
        },
        layers: all.into_iter().map(Layer::entry).collect(),
        annotations: BTreeMap::new(),
    };
    let manifest = json::bytes(&manifest);
    let descriptor = Descriptor {
        media_type: media_type::OCI_MANIFEST.to_owned(),
        digest: Digest::of(&manifest),
        size: manifest.len() as u64,
    };
    Composed { config, manifest, descriptor }
}

fn runtime(base: &Image, spec: &ImageSpec, profile: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut runtime = base.config["config"].as_object().cloned().unwrap_or_default();
    runtime.remove("Image");
    let mut env = config_env(&base.config);
    for (name, value) in profile {
        match env.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) if name == "PATH" => *old = merged_path(value, old),
            Some((_, old)) => old.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
    // What it refers to was looked for in the base before anything was built.
    let mut env = spec.environment(env.clone()).unwrap_or(env);
    if let (Some(found), Some((_, path))) = (profile.get("PATH"), env.iter_mut().find(|(name, _)| name == "PATH")) {
        let base = config_env(&base.config).into_iter().find(|(name, _)| name == "PATH");
        *path = with_additions(path, found, base.as_ref().map_or("", |(_, path)| path));
    }
    let env: Vec<String> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    runtime.insert("Env".into(), json!(env));
    if let Some(entrypoint) = &spec.entrypoint {
        runtime.insert("Entrypoint".into(), json!(entrypoint));
        // The base's arguments were for the base's entrypoint.
        runtime.remove("Cmd");
    }
    for (field, value) in [("User", &spec.user), ("WorkingDir", &spec.workdir)] {
        if let Some(value) = value {
            runtime.insert(field.into(), json!(value));
        }
    }
    if let Some(cmd) = &spec.cmd {
        runtime.insert("Cmd".into(), json!(cmd));
    }
    if !spec.labels.is_empty() {
        let mut labels = runtime.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
        labels.extend(spec.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
        runtime.insert("Labels".into(), Value::Object(labels));
    }
    runtime
}

/// The directories of a `PATH`, each where it is named first.
pub(crate) fn path_directories(path: &str) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    path.split(':').filter(|directory| !directory.is_empty() && seen.insert(*directory)).collect()
}

/// The directories of a login shell's `path` with those that `base` alone has, each of which stands before the one that
/// follows it in `base`. A profile that sets `PATH` anew knows nothing of the base's tools, and that of a user leaves out
/// those of root. Both orders hold but where they contradict each other: there the profile's does.
pub(crate) fn merged_path(path: &str, base: &str) -> String {
    let mut directories: Vec<&str> = path.split(':').collect();
    let mut following = directories.len();
    for directory in path_directories(base).into_iter().rev() {
        match directories.iter().position(|known| *known == directory) {
            Some(place) => following = place,
            None => directories.insert(following, directory),
        }
    }
    directories.join(":")
}

/// `path`, which `image.env` may have set anew, with what the profile's `found` adds to the PATH of the base: behind what
/// stands before it there as well. What every login shell has is no addition.
fn with_additions(path: &str, found: &str, base: &str) -> String {
    let (own, base) = (path_directories(path), path_directories(base));
    let usual = |directory: &&str| LOGIN_PATH.split(':').any(|one| one == *directory);
    let adds = |directory: &&str| own.contains(directory) || !usual(directory) && !base.contains(directory);
    let wanted: Vec<&str> = path_directories(found).into_iter().filter(adds).collect();
    merged_path(path, &wanted.join(":"))
}

/// One entry for every layer; for a base that tells nothing, entries that say so.
fn history(base: &Image, layers: &[NewLayer], created: &str) -> Vec<Value> {
    let mut history = base.config["history"].as_array().cloned().unwrap_or_default();
    let told = history.iter().filter(|entry| entry["empty_layer"] != json!(true)).count();
    for _ in told..base.layers.len() {
        history.push(json!({"created": created, "created_by": "base"}));
    }
    for new in layers {
        let mut entry = json!({"created": created, "created_by": format!("alloy {}", new.name)});
        if new.layer.is_none() {
            entry["empty_layer"] = json!(true);
        }
        history.push(entry);
    }
    history
}

/// RFC 3339, as configs have it.
fn timestamp(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use layers::digest::DiffId;

    fn layer(text: &str) -> Layer {
        let descriptor =
            Descriptor { media_type: media_type::OCI_LAYER_ZSTD.into(), digest: Digest::of(text), size: 1 };
        Layer::new(descriptor, DiffId(Digest::of(text)))
    }

    fn composed(base: Value, spec: &ImageSpec) -> Value {
        let base = Image { identity: Digest::of("b"), config: base, layers: vec![layer("b")] };
        let new = [
            NewLayer { name: "00-a.yml".into(), layer: Some(layer("a")) },
            NewLayer { name: "10-b.yml".into(), layer: None },
        ];
        let profile = BTreeMap::from([("PATH".to_owned(), "/opt/bin:/usr/bin".to_owned())]);
        let platform = "linux/amd64".parse().unwrap();
        let composed = compose(&base, &new, Asked { spec, profile: &profile }, &platform, 1_577_836_800);
        assert_eq!(composed.descriptor.digest, Digest::of(&composed.manifest));
        serde_json::from_slice(&composed.config).unwrap()
    }

    #[test]
    fn the_blueprint_goes_over_the_base() {
        let base = json!({
            "config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "Labels": {"a": "1"}, "StopSignal": "SIGINT"},
            "container": "x",
        });
        let spec = ImageSpec {
            env: vec![
                ("LANG".into(), "C.UTF-8".into()),
                ("PATH".into(), "/x:$PATH".into()),
                ("Y".into(), "$LANG".into()),
            ],
            entrypoint: Some(vec!["/entry".into()]),
            labels: BTreeMap::from([("b".into(), "2".into())]),
            ..ImageSpec::default()
        };
        let config = composed(base, &spec);
        assert_eq!(config["config"]["Env"], json!(["PATH=/x:/opt/bin:/usr/bin:/bin", "LANG=C.UTF-8", "Y=C.UTF-8"]));
        assert_eq!(config["config"].get("Cmd"), None);
        assert_eq!(config["config"]["Labels"], json!({"a": "1", "b": "2"}));
        assert_eq!(config["config"]["StopSignal"], json!("SIGINT"));
        assert_eq!(config["created"], json!("2020-01-01T00:00:00Z"));
        assert_eq!(config.get("container"), None);
    }

    #[test]
    fn what_the_profile_adds_is_on_a_path_that_is_set_anew() {
        let base = "/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let login = |added: &str| format!("{added}:{base}");
        let with = |path: &str, found: &str| with_additions(path, found, base);
        assert_eq!(with("/my/bin:/usr/bin:/bin", &login("/opt/x/bin")), "/my/bin:/opt/x/bin:/usr/bin:/bin");
        assert_eq!(with("/my/bin:/usr/bin", &format!("{base}:/opt/x/bin")), "/my/bin:/usr/bin:/opt/x/bin");
        assert_eq!(with("/my/bin", base), "/my/bin");
        // What refers to it has it where it was put.
        assert_eq!(with("/opt/x/bin:/my/bin:/usr/bin", &login("/opt/x/bin")), "/opt/x/bin:/my/bin:/usr/bin");
    }

    #[test]
    fn a_variable_is_set_once() {
        let base = json!({"config": {"Env": ["A=1", "B=x", "A=2", "nothing", "B=y"]}});
        let spec = ImageSpec { env: vec![("A".into(), "3$B".into())], ..ImageSpec::default() };
        assert_eq!(composed(base, &spec)["config"]["Env"], json!(["A=3y", "B=y", "PATH=/opt/bin:/usr/bin"]));
    }

    #[test]
    fn history_and_layers_agree() {
        let config = composed(json!({}), &ImageSpec::default());
        let history = config["history"].as_array().unwrap();
        let told = history.iter().filter(|entry| entry["empty_layer"] != json!(true)).count();
        assert_eq!(told, config["rootfs"]["diff_ids"].as_array().unwrap().len());
        assert_eq!(history.last().unwrap()["empty_layer"], json!(true));
    }

    #[test]
    fn no_directory_of_the_base_is_lost_or_moved() {
        for (login, base, both) in [
            // A base of a toolchain, with and without what a profile adds.
            ("/usr/bin:/bin", "/go/bin:/usr/bin:/bin", "/go/bin:/usr/bin:/bin"),
            ("/opt/arm:/usr/bin:/bin", "/go/bin:/usr/bin:/bin", "/opt/arm:/go/bin:/usr/bin:/bin"),
            ("/usr/bin:/bin:/opt/arm", "/usr/bin:/bin:/go/bin", "/usr/bin:/bin:/opt/arm:/go/bin"),
            // A user's login shell has no sbin, and adds games.
            ("/usr/bin:/bin:/usr/games", "/usr/sbin:/usr/bin:/sbin:/bin", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/games"),
            // A profile that moves a directory to the front means it.
            ("/go/bin:/usr/bin", "/usr/bin:/go/bin", "/go/bin:/usr/bin"),
            ("/usr/bin", "", "/usr/bin"),
        ] {
            assert_eq!(merged_path(login, base), both, "{login} and {base}");
        }
    }
}

//! What blueprints are called.

use super::HubError;
use crate::registry::Reference;

/// The blueprint `name`, `<project>/<vendor>/<board>[:TAG]`, of `registry`, a host with or without `https://` before and
/// a path behind it, unless the name begins with a registry itself. There is no registry by default.
pub fn reference(name: &str, registry: Option<&str>) -> Result<Reference, HubError> {
    let own: Reference = name.parse()?;
    if own.names_registry() {
        return Ok(own);
    }
    let registry_is_plain = registry.is_some_and(|registry| registry.starts_with(PLAIN));
    let no_registry = || HubError::NoRegistry { name: name.to_owned() };
    let registry =
        registry.map(|registry| host(registry).trim_end_matches('/')).filter(|registry| !registry.is_empty());
    let whole: Reference = format!("{}/{name}", registry.ok_or_else(no_registry)?).parse()?;
    if !whole.names_registry() {
        return Err(no_registry());
    }
    let plain = registry_is_plain && !whole.is_loopback();
    if plain { Err(HubError::Plain { registry: whole.registry }) } else { Ok(whole) }
}

/// `registry` without the `https://`, or `http://`, that the existing tools are given.
pub fn host(registry: &str) -> &str {
    registry.strip_prefix("https://").or_else(|| registry.strip_prefix(PLAIN)).unwrap_or(registry)
}

/// How registries begin that are asked without TLS: those of this machine are anyway, others need to be told of.
const PLAIN: &str = "http://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_stands_in_front_unless_there_is_one() {
        let whole = |name: &str, registry| reference(name, registry).map(|reference| reference.to_string()).ok();
        let expected = "r.example/community/arm/m4:1.2";
        assert_eq!(whole("community/arm/m4:1.2", Some("r.example")).unwrap(), expected);
        assert_eq!(whole("arm/m4:1.2", Some("r.example/community/")).unwrap(), expected);
        assert_eq!(whole(expected, Some("other.example")).unwrap(), expected);
        assert_eq!(whole("arm", Some("127.0.0.1:5000")).unwrap(), "127.0.0.1:5000/arm:latest");
        assert_eq!(whole("arm/m4", Some("https://r.example/hub/")).unwrap(), "r.example/hub/arm/m4:latest");
        assert_eq!(whole("arm", Some("http://127.0.0.1:5000")).unwrap(), "127.0.0.1:5000/arm:latest");
        for registry in [None, Some(""), Some("https://"), Some("community"), Some("http://r.example")] {
            assert_eq!(whole("arm/m4", registry), None, "{registry:?}");
        }
    }
}

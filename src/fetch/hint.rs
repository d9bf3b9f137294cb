//! What helps whom a server does not let in.

use layers::unpack::Looks;
use url::Url;

use super::Wanted;
use super::credential::server;

/// Ways to say who one is to the server of `url`.
pub(super) fn credentials(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or("HOST").to_owned();
    let path = parsed.as_ref().map(Url::path).unwrap_or_default();
    let port = parsed.as_ref().and_then(Url::port).map(|port| format!(":{port}")).unwrap_or_default();
    let server = parsed.as_ref().map_or_else(|| host.clone(), server);
    let header = match () {
        () if host.contains("gitlab") || path.contains("/api/v4/") => format!(
            "--header '{server}: PRIVATE-TOKEN: $GITLAB_TOKEN', in a job of GitLab --header '{server}: JOB-TOKEN: \
             $CI_JOB_TOKEN'"
        ),
        () if is_github(&host) => format!(
            "--header '{server}: Authorization: Bearer $GITHUB_TOKEN', and for assets of a release, at \
             api.github.com, --header 'api.github.com: Accept: application/octet-stream'"
        ),
        () if host.contains("artifactory") || host.contains("jfrog") || path.starts_with("/artifactory/") => format!(
            "--header '{server}: X-JFrog-Art-Api: $API_KEY' or --header '{server}: Authorization: Bearer $TOKEN'"
        ),
        () => format!("--header '{server}: Authorization: Bearer $TOKEN'"),
    };
    let scheme = parsed.as_ref().map_or("https", Url::scheme);
    let netrc =
        if !server.starts_with("http://") { format!(", a `machine {host}` in ~/.netrc") } else { String::new() };
    format!(
        "{header}{netrc}, or variables in the URL: {scheme}://{{{{.Vars.USER}}}}:{{{{.Vars.X_PASSWORD}}}}@{host}{port}/…"
    )
}

fn is_github(host: &str) -> bool {
    host == "github.com" || host.ends_with(".github.com") || host.starts_with("github.") || host.ends_with(".ghe.com")
}

/// What helps where another server, `at`, was asked in the end.
pub(super) fn elsewhere(at: &str) -> String {
    format!(
        "credentials are told to the server of a URL, and to no other that it leads to: if {at} wants some, name the \
         file's URL there, and give them with --header '{at}: Authorization: Bearer $TOKEN' or a `machine` in ~/.netrc"
    )
}

/// What a status says of credentials; `said` if some were sent, `near` what kept others from that.
pub(super) fn refused(url: &str, said: bool, near: Option<&str>) -> String {
    if let Some(near) = near {
        return format!("the server wants other credentials for this URL: {near}");
    }
    let ways = credentials(url);
    if said {
        format!(
            "the server does not let in who was named to it: look whether the credentials are those of this server and may read this file; they are given with {ways}"
        )
    } else {
        format!("the server wants credentials for this URL: {ways}")
    }
}

/// What else a file that is not there may mean.
pub(super) fn missing(url: &str, said: bool, near: Option<&str>) -> String {
    let check = "check the URL: the server has no such file";
    if let Some(near) = near {
        return format!("{check}. It may answer so to whoever is not named to it: {near}");
    }
    if said {
        return format!(
            "{check}. GitLab and GitHub answer so, too, to whoever may not see it: look whether the token is right, has not \
             run out, and may read this file; it is given with {}",
            credentials(url)
        );
    }
    format!("{check}. GitLab and GitHub answer so, too, to whoever has no token: {}", credentials(url))
}

/// What to do with a file that is not what is wanted; `near` is what kept a header from being sent.
pub(super) fn useless(url: &str, wanted: Wanted, looks: Looks, near: Option<&str>) -> String {
    match looks {
        Looks::Archive | Looks::Compressed | Looks::SevenZip | Looks::Rar if wanted == Wanted::Installer => {
            "`sdk_install` runs an installer as it is; if this has one in it, unpack it first (`unarchive_from_url`), and \
             run the installer in a `run_command`"
                .into()
        }
        Looks::Html | Looks::Json | Looks::Xml | Looks::Text => format!(
            "look at what the URL gives. A server that wants credentials, or has no such file, may answer so: {}",
            near.map_or_else(|| credentials(url), str::to_owned)
        ),
        Looks::LfsPointer => {
            "the server gave what Git LFS keeps in the place of the file: its own URL for the content does, on GitHub \
             that of `media.githubusercontent.com/media`, on GitLab `?lfs=true`, or `git_clone` with git-lfs installed"
                .into()
        }
        Looks::Empty => "the server gave nothing: try again later, or name a mirror in `url`".into(),
        Looks::SevenZip => {
            "fetch it with `get_file`, and unpack it in a `run_command`: 7z x (package 7zip or p7zip-full)".into()
        }
        Looks::Rpm => "fetch it with `get_file`, and unpack it in a `run_command`: rpm2cpio FILE | cpio -id".into(),
        Looks::Rar => "fetch it with `get_file`, and unpack it in a `run_command`: unar FILE".into(),
        Looks::Script | Looks::Program => {
            "an installer is run by `sdk_install`; a program by itself is fetched with `get_file` and `mode: \"0755\"`"
                .into()
        }
        Looks::WindowsProgram => "look for the publisher's archive for Linux".into(),
        Looks::Compressed => "fetch it with `get_file`, and unpack it in a `run_command`, such as gunzip FILE".into(),
        Looks::Archive => "name the .deb itself in `debs`; `unpack` and `unarchive_from_url` take archives".into(),
        Looks::Unknown => {
            "alloy unpacks tar, also compressed with gzip, xz, bzip2, zstd, lz4 or lzma, zip and deb".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_those_of_the_server() {
        for (url, said) in [
            ("https://gitlab.example/api/v4/x", "'gitlab.example: JOB-TOKEN: $CI_JOB_TOKEN'"),
            ("https://git.example:8443/api/v4/x", "'git.example:8443: PRIVATE-TOKEN: $GITLAB_TOKEN'"),
            ("https://github.com/a/b", "'github.com: Authorization: Bearer $GITHUB_TOKEN'"),
            ("https://a.example/artifactory/x", "'a.example: X-JFrog-Art-Api: $API_KEY'"),
            ("http://a.example/x", "'http://a.example: Authorization: Bearer $TOKEN'"),
            ("http://127.0.0.1:81/x", "'127.0.0.1:81: Authorization: Bearer $TOKEN', a `machine 127.0.0.1`"),
        ] {
            assert!(credentials(url).contains(said), "{}", credentials(url));
        }
        assert!(!credentials("http://a.example/x").contains("netrc"));
        assert!(credentials("http://a.example/x").contains("URL: http://{{.Vars.USER}}"));
    }

    #[test]
    fn a_file_that_is_not_there_may_be_hidden_from_a_token() {
        let url = "https://gitlab.example/api/v4/x";
        assert!(missing(url, true, None).contains("look whether the token is right"));
        assert!(missing(url, false, None).contains("whoever has no token"));
    }
}

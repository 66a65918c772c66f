//! A registry that keeps repositories in a project, as Harbor does for those of another registry. Pure.

/// Where a repository is that a client names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Located<'a> {
    /// Here, by this name.
    Here(&'a str),
    /// A one-word name of Docker Hub: at this other name of the same project.
    Moved(String),
    /// In no project that there is.
    Nowhere,
}

pub(super) fn locate<'a>(project: Option<&str>, name: &'a str) -> Located<'a> {
    let Some(project) = project else {
        return Located::Here(name);
    };
    match name.strip_prefix(project).and_then(|rest| rest.strip_prefix('/')) {
        None | Some("") => Located::Nowhere,
        Some(rest) if rest.contains('/') => Located::Here(rest),
        Some(rest) => Located::Moved(format!("{project}/library/{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_project() {
        for (project, name, located) in [
            (None, "demo", Located::Here("demo")),
            (Some("proxy"), "proxy/library/demo", Located::Here("library/demo")),
            (Some("proxy"), "proxy/demo", Located::Moved("proxy/library/demo".into())),
            (Some("proxy"), "library/demo", Located::Nowhere),
            (Some("proxy"), "proxyx/a/b", Located::Nowhere),
            (Some("proxy"), "proxy", Located::Nowhere),
        ] {
            assert_eq!(locate(project, name), located, "{name}");
        }
    }
}

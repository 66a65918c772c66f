//! Media types: the two families, and what a layer is.

/// Which family of media types an image or index is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `application/vnd.oci.image.…`
    #[default]
    Oci,
    /// `application/vnd.docker.distribution.…`, schema 2.
    Docker,
}

impl Form {
    /// Media type of an image manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Form::Oci => "application/vnd.oci.image.manifest.v1+json",
            Form::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    /// Media type of an index ("manifest list" in the other family).
    pub fn index(self) -> &'static str {
        match self {
            Form::Oci => "application/vnd.oci.image.index.v1+json",
            Form::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// Media type of an image configuration.
    pub fn config(self) -> &'static str {
        match self {
            Form::Oci => "application/vnd.oci.image.config.v1+json",
            Form::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    /// Media type of a layer.
    pub fn layer(self, layers: Layers) -> &'static str {
        match (self, layers) {
            (Form::Oci, Layers::Opaque) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Form::Oci, Layers::Tar) => "application/vnd.oci.image.layer.v1.tar",
            (Form::Docker, Layers::Opaque) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Form::Docker, Layers::Tar) => "application/vnd.docker.image.rootfs.diff.tar",
        }
    }
}

/// What a layer's bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// Noise of exactly the wanted size: enough for whoever only moves and hashes bytes.
    #[default]
    Opaque,
    /// A tar archive with one file of the wanted size: whoever unpacks layers can unpack it.
    Tar,
}

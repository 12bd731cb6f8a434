//! Brings the certificates of an app to where routers read them: before the route names them, and away after it
//! no longer does.

use std::collections::BTreeSet;

use domain::AppName;
use domain::certs::AttachedCert;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::ListParams;

use super::objects::certificate;
use super::{Inner, names};

impl Inner {
    /// Makes the Secrets and lets routers read them.
    pub(super) async fn bring_certificates(
        &self,
        app: &AppName,
        certificates: &[AttachedCert],
    ) -> Result<(), kube::Error> {
        if let Some(role) = certificate::role(app, certificates) {
            self.apply::<Role>(app, &role).await?;
            self.apply::<RoleBinding>(app, &certificate::role_binding(&self.settings, app)).await?;
        }
        for cert in certificates {
            self.apply::<Secret>(app, &certificate::secret(app, cert)).await?;
        }
        Ok(())
    }

    /// Removes Secrets that no domain needs any more, and with the last the routers' right.
    pub(super) async fn clear_certificates(
        &self,
        app: &AppName,
        certificates: &[AttachedCert],
    ) -> Result<(), kube::Error> {
        let wanted: BTreeSet<_> = certificates
            .iter()
            .map(|cert| certificate::secret_name(&certificate::kubernetes_name(&cert.name)))
            .collect();
        let part = format!("{}={}", names::PART_LABEL, names::CERTIFICATE_PART);
        let found = self.api::<Secret>(app).list_metadata(&ListParams::default().labels(&part)).await?;
        let unused: Vec<_> =
            found.items.iter().map(ResourceExt::name_any).filter(|name| !wanted.contains(name)).collect();
        for name in &unused {
            self.delete::<Secret>(app, name).await?;
        }
        if certificates.is_empty() && !unused.is_empty() {
            self.delete::<RoleBinding>(app, certificate::ROLE).await?;
            self.delete::<Role>(app, certificate::ROLE).await?;
        }
        Ok(())
    }
}

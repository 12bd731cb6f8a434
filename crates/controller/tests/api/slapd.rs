//! A directory of its own for a test: OpenLDAP's server on a free port, with a few entries.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use controller::Secret;
use controller::directory::DirectorySettings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testkit::{free_port, wait_until_blocking};

const ROOT: &str = "cn=root,dc=example,dc=com";
/// Of the one who looks for users.
pub const ROOT_PASSWORD: &str = "directory-root";
/// Password of every user of the directory.
pub const LDAP_PASSWORD: &str = "from-ldap";
const TIMEOUT: Duration = Duration::from_secs(20);

const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=dora,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: dora
cn: Dora Dent
givenName: Dora
sn: Dent
mail: dora@example.com
userPassword: from-ldap

dn: uid=admin,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: admin
cn: Ad Min
sn: Min
userPassword: from-ldap

dn: cn=twin one,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: twin one
sn: Twin
userPassword: from-ldap

dn: cn=twin two,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: twin
cn: twin two
sn: Twin
userPassword: from-ldap

dn: ou=elsewhere,dc=example,dc=com
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=elsewhere,dc=example,dc=com
";

/// The server; it ends with the value.
pub struct Slapd {
    process: Child,
    port: u16,
    tls_port: u16,
    /// PEM of the authority that signed the server's certificate.
    authority: String,
    _folder: tempfile::TempDir,
}

impl Slapd {
    /// One that lets in who gives a name and no password, as servers may (RFC 4513, 5.1.2).
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = certify(folder.path());
        std::fs::create_dir(folder.path().join("db")).expect("a folder");
        std::fs::write(folder.path().join("slapd.conf"), config(folder.path())).expect("a file");
        std::fs::write(folder.path().join("entries.ldif"), ENTRIES).expect("a file");
        let mut fill = program("slapadd", folder.path());
        let filled = fill.arg("-l").arg(folder.path().join("entries.ldif")).output();
        let filled = filled.expect("slapadd runs: `cargo xtask test` installs it");
        assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));

        let (port, tls_port) = (free_port(), free_port());
        let urls = format!("ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/");
        let mut serve = program("slapd", folder.path());
        // With a level it stays in the foreground, and says what is wrong.
        let serve = serve.args(["-d", "0", "-h", &urls]).stdin(Stdio::null()).stderr(Stdio::null());
        let process = serve.spawn().expect("slapd runs");
        let slapd = Self { process, port, tls_port, authority, _folder: folder };
        slapd.wait();
        slapd
    }

    fn wait(&self) {
        let answers = |port: u16| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_until_blocking("slapd answers", TIMEOUT, || answers(self.port) && answers(self.tls_port));
    }

    /// As an operator would describe it.
    pub fn settings(&self) -> DirectorySettings {
        DirectorySettings {
            endpoint: format!("ldap://localhost:{}", self.port),
            start_tls: true,
            ca_bundle: Some(self.authority.clone().into_bytes()),
            searcher: Some((ROOT.to_owned(), Secret::new(ROOT_PASSWORD))),
            users_below: "dc=example,dc=com".to_owned(),
            name_attribute: "uid".to_owned(),
            timeout: TIMEOUT,
        }
    }

    /// The same with TLS from the first byte on.
    pub fn over_tls(&self) -> DirectorySettings {
        let endpoint = format!("ldaps://localhost:{}", self.tls_port);
        DirectorySettings { endpoint, start_tls: false, ..self.settings() }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(format!("/usr/sbin/{name}"));
    command.arg("-f").arg(folder.join("slapd.conf"));
    command
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         pidfile {folder}/pid\n\
         allow bind_anon_cred\n\
         TLSCertificateFile {folder}/cert.pem\n\
         TLSCertificateKeyFile {folder}/key.pem\n\
         database ldif\n\
         suffix dc=example,dc=com\n\
         directory {folder}/db\n\
         rootdn {ROOT}\n\
         rootpw {ROOT_PASSWORD}\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by anonymous auth by users read\n"
    )
}

/// Writes the server's certificate and key, and gives the authority's certificate.
fn certify(folder: &Path) -> String {
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("a certificate");
    let own = key();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = names.signed_by(&own, &authority).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), own.serialize_pem()).expect("a file");
    authority.pem()
}

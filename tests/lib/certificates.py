# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl program in a folder of the caller: authorities, what they
sign (also expired, revoked, for another purpose, with odd names), and revocation lists. Keys are of the
curve P-256 where nothing else is said, so that making one takes milliseconds."""
import os
import subprocess

DAY = 86400


def openssl(*arguments, stdin=None):
    result = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, timeout=60)
    assert result.returncode == 0, f"openssl {' '.join(arguments)}: {result.stderr.decode()}"
    return result.stdout


def key_make(path, kind="EC"):
    options = {"EC": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
               "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
               "RSA1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]}[kind]
    openssl("genpkey", *options, "-out", path)
    os.chmod(path, 0o600)


class Issued:
    """Where a certificate and its key are; `chain` has the authorities behind it, too."""

    def __init__(self, certificate, key, chain=None):
        self.certificate, self.key, self.chain = certificate, key, chain or certificate


class Authority:
    """A certificate authority in a folder of its own; `issuer` None makes a root."""

    def __init__(self, folder, name="Test Root", issuer=None, days=30, path_length=None):
        self.folder, self.name, self.issuer = folder, name, issuer
        os.makedirs(os.path.join(folder, "new"), exist_ok=True)
        self.key, self.certificate = self.path("ca.key"), self.path("ca.pem")
        with open(self.path("index.txt"), "w", encoding="ascii"):
            pass
        for file in ("serial", "crlnumber"):
            with open(self.path(file), "w", encoding="ascii") as out:
                out.write("1000\n")
        with open(self.path("ca.cnf"), "w", encoding="ascii") as out:
            out.write(f"""[ca]
default_ca = a
[a]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/new
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {self.certificate}
private_key = {self.key}
default_md = sha256
policy = p
copy_extensions = copyall
unique_subject = no
default_crl_days = 30
string_mask = utf8only
[p]
commonName = optional
[req]
distinguished_name = d
string_mask = utf8only
[d]
""")
        key_make(self.key)
        length = "" if path_length is None else f",pathlen:{path_length}"
        extensions = [f"basicConstraints=critical,CA:TRUE{length}", "keyUsage=critical,keyCertSign,cRLSign",
                      "subjectKeyIdentifier=hash"]
        if issuer is None:
            openssl("req", "-config", self.path("ca.cnf"), "-x509", "-new", "-key", self.key, "-subj",
                    f"/CN={name}", "-days", str(days), "-out", self.certificate,
                    *[word for text in extensions for word in ("-addext", text)])
        else:
            issuer.sign(self.key, self.certificate, f"/CN={name}", extensions, days * DAY, self.folder)

    def path(self, file):
        return os.path.join(self.folder, file)

    def sign(self, key, certificate, subject, extensions, seconds=30 * DAY, folder=None, begin=-3600):
        """Valid from `begin` to `seconds` from now. `seconds` may be in the past."""
        request = certificate + ".csr"
        text = openssl("req", "-config", self.path("ca.cnf"), "-new", "-utf8", "-key", key, "-subj", subject,
                       *[word for line in extensions for word in ("-addext", line)])
        with open(request, "wb") as out:
            out.write(text)
        openssl("ca", "-config", self.path("ca.cnf"), "-batch", "-notext", "-in", request, "-out", certificate,
                "-startdate", stamp(min(begin, seconds - 3600)), "-enddate", stamp(seconds))
        os.unlink(request)

    def chain(self):
        """Certificates from this authority up to below the root, as text."""
        text, at = "", self
        while at.issuer is not None:
            with open(at.certificate, encoding="ascii") as file:
                text += file.read()
            at = at.issuer
        return text

    def issue(self, file, subject="/CN=localhost", san="DNS:localhost,IP:127.0.0.1", usage="serverAuth",
              seconds=30 * DAY, begin=-3600, kind="EC", more=()):
        """A certificate FILE.pem with FILE.key and FILE.chain.pem."""
        key, certificate, chain = (self.path(file + end) for end in (".key", ".pem", ".chain.pem"))
        key_make(key, kind)
        extensions = list(more)
        if usage:
            extensions.append(f"extendedKeyUsage={usage}")
        if san:
            extensions.append(f"subjectAltName={san}")
        self.sign(key, certificate, subject, extensions, seconds, begin=begin)
        with open(certificate, encoding="ascii") as source, open(chain, "w", encoding="ascii") as out:
            out.write(source.read() + self.chain())
        return Issued(certificate, key, chain)

    def revoke(self, issued):
        openssl("ca", "-config", self.path("ca.cnf"), "-revoke", issued.certificate)

    def crl(self, file="crl.pem", seconds=30 * DAY):
        """The list of what was revoked until now; returns its path."""
        path = self.path(file)
        openssl("ca", "-config", self.path("ca.cnf"), "-gencrl", "-crl_lastupdate", stamp(min(-3600, seconds - 60)),
                "-crl_nextupdate", stamp(seconds), "-out", path)
        return path


def stamp(seconds):
    """YYYYMMDDHHMMSSZ, so many seconds from now."""
    import time
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def join(path, *files):
    with open(path, "w", encoding="ascii") as out:
        for file in files:
            with open(file, encoding="ascii") as source:
                out.write(source.read())
    return path

"""What we issue, read by others: the openssl program strictly, Java as the Java SDK reads its files."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from tests.merchants.conftest import NOW

from bitlinkpay.merchants.authority import Authority
from bitlinkpay.web.tls import TlsFiles, peer_spki, server_context

JAVA = """
import java.io.*; import java.net.*; import java.nio.file.*; import java.security.*; import java.security.cert.*;
import java.security.spec.*; import java.util.*; import javax.crypto.Cipher; import javax.net.ssl.*;

public class Load {
    static byte[] body(String file) throws Exception {
        String text = new String(Files.readAllBytes(Paths.get(file)));
        return Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", ""));
    }
    static X509Certificate certificate(String file) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(file));
    }
    public static void main(String[] args) throws Exception {
        String dir = args[0] + "/";
        KeyFactory rsa = KeyFactory.getInstance("RSA");
        PrivateKey key = rsa.generatePrivate(new PKCS8EncodedKeySpec(body(dir + "client.key")));
        PublicKey envelope = rsa.generatePublic(new X509EncodedKeySpec(body(dir + "public_key.pem")));
        Cipher cipher = Cipher.getInstance("RSA/ECB/PKCS1Padding");
        cipher.init(Cipher.ENCRYPT_MODE, envelope);
        byte[] secret = cipher.doFinal("0123456789abcdef".getBytes());

        KeyStore own = KeyStore.getInstance(KeyStore.getDefaultType());
        own.load(null, null);
        own.setKeyEntry("own", key, new char[0], new java.security.cert.Certificate[] {certificate(dir + "client.crt")});
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(own, new char[0]);
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", certificate(dir + "ca.crt"));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        for (String protocol : new String[] {"TLSv1.2", "TLSv1.3"}) {
            SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("localhost", Integer.parseInt(args[1]));
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            parameters.setProtocols(new String[] {protocol});
            socket.setSSLParameters(parameters);
            System.out.println(new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
        }
        System.out.println(Base64.getEncoder().encodeToString(secret));
    }
}
"""


def needs(program: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Path:
    """The folder that `merchant create --out` fills."""
    pair = authority.issue_client("tea", now=NOW)
    for name, content in (
        ("ca.crt", authority.ca_pem),
        ("client.crt", pair.certificate_pem),
        ("client.key", pair.key_pem),
        ("public_key.pem", authority.public_key_pem),
        ("server.crt", authority.server_certificate_path.read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def openssl(folder: Path, *words: str) -> str:
    return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@needs("openssl")
def test_openssl_verifies_both_sides_strictly(files: Path) -> None:
    for purpose, name in (("sslclient", "client.crt"), ("sslserver", "server.crt")):
        said = openssl(files, "verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile", "ca.crt", name)
        assert said.strip() == f"{name}: OK"
    for host in (["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_hostname", "pay.example"]):
        assert "OK" in openssl(files, "verify", *host, "-CAfile", "ca.crt", "server.crt")


@needs("openssl")
@pytest.mark.parametrize(("purpose", "name"), [("sslserver", "client.crt"), ("sslclient", "server.crt")])
def test_openssl_refuses_one_side_in_the_others_place(files: Path, purpose: str, name: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        openssl(files, "verify", "-purpose", purpose, "-CAfile", "ca.crt", name)
    assert "purpose" in caught.value.stdout + caught.value.stderr


@needs("openssl")
def test_openssl_reads_the_files_by_their_forms(files: Path) -> None:
    assert "2048 bit" in openssl(files, "pkey", "-in", "client.key", "-text", "-noout")
    assert "2048 bit" in openssl(files, "pkey", "-pubin", "-in", "public_key.pem", "-text", "-noout")
    shown = openssl(files, "x509", "-in", "client.crt", "-noout", "-text")
    assert "Version: 3" in shown
    assert "TLS Web Client Authentication" in shown
    assert "CA:FALSE" in shown
    modulus = openssl(files, "x509", "-in", "client.crt", "-noout", "-modulus")
    assert modulus == openssl(files, "rsa", "-in", "client.key", "-noout", "-modulus")


@contextmanager
def greeting(authority: Authority) -> Iterator[int]:
    """Serve with the shipped TLS settings; tell each client who it is."""
    context = server_context(TlsFiles(authority.server_certificate_path, authority.server_key_path, authority.ca_path))

    class Greet(BaseRequestHandler):
        def handle(self) -> None:
            with context.wrap_socket(self.request, server_side=True) as tls:
                tls.sendall(peer_spki(tls).hex().encode() + b"\n")

    with ThreadingTCPServer(("127.0.0.1", 0), Greet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@needs("java")
@pytest.mark.skipif(shutil.which("javac") is None, reason="the Java compiler is not installed")
def test_java_loads_the_files_and_is_recognised(authority: Authority, files: Path) -> None:
    """As the Java SDK does: PKCS#8 and X.509 key specs, a key store, host names checked; TLS 1.2 and 1.3."""
    (files / "Load.java").write_text(JAVA)
    with greeting(authority) as port:
        command = ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "Load.java", str(files), str(port)]
        done = subprocess.run(command, cwd=files, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second, secret = done.stdout.split()
    client = openssl(files, "x509", "-in", "client.crt", "-noout", "-pubkey")
    (files / "client.pub").write_text(client)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", "client.pub", "-outform", "DER"],
        cwd=files,
        capture_output=True,
        check=True,
    )
    (files / "client.der").write_bytes(der.stdout)
    assert first == second == openssl(files, "dgst", "-sha256", "-r", "client.der").split()[0]
    assert authority.envelope.secret(secret.encode()) == b"0123456789abcdef"

use proptest::prelude::*;

use super::*;

/// Each text, and how it is shown.
fn shown(all: &[(&str, &str)]) {
    for (text, shown) in all {
        assert_eq!(without_credentials(text), *shown, "of\n{text}");
    }
}

#[test]
fn what_lets_somebody_in_is_not_shown() {
    shown(&[
        ("export API_TOKEN=abc def\nPATH=/x\n", "export API_TOKEN=***\nPATH=/x\n"),
        ("{\"password\": \"p w\", \"user\": \"ann\"}", "{\"password\": \"***\", \"user\": \"ann\"}"),
        ("{\"password\": \"p\", \"n\": 1, \"token\": \"t\"}", "{\"password\": \"***\", \"n\": 1, \"token\": \"***\"}"),
        ("deb https://ann:pw22@h.example/x y", "deb https://***@h.example/x y"),
        ("get https://h/x?private_token=glpat-x&v=1", "get https://h/x?private_token=***"),
        ("machine h login ann password pw22", "machine h login ann password ***"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("curl -H \"Authorization: Bearer abc\" https://h/", "curl -H \"Authorization: ***\" https://h/"),
        ("# machine h login ann password hunter", "# machine h login ann password ***"),
        ("use ghp_abc here", "use *** here"),
        ("#password hunter\n# that one has the password hunter2\n", "#password ***\n# that one has the password ***\n"),
        ("//h.example/:_authToken=abc\r\nx", "//h.example/:_authToken=***\r\nx"),
        ("psk=abc\npassphrase: x\npassphrase \"a b\"\n", "psk=***\npassphrase: ***\npassphrase \"***\"\n"),
        ("PASSWORD2='it''s' x\n", "PASSWORD2=*** x\n"),
        ("password = \"a\\\"b\" # c", "password = \"***\" # c"),
        ("'password' => 'x', 'a' => 1", "'password' => '***', 'a' => 1"),
        ("root_hash: $6$salt$0123456789abcdefghij", "root_hash: ***"),
        ("passwd: $6$salt$0123456789abcdefghij\n", "passwd: ***\n"),
        ("TOKEN=${TOKEN:-abc}\n", "TOKEN=***\n"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
    ]);
}

#[test]
fn ordinary_text_stays_as_it_is() {
    for text in [
        "",
        "\n",
        "TOKEN=$TOKEN\n",
        "TOKEN=${TOKEN}; PATH=/x\n",
        "token: {{ vault_token }}\n",
        "export PATH=/opt/x:$PATH\n\n",
        "key == value",
        "a: b\nkey:\n",
        "PWD=/home/ann\nmax_tokens: 4096\n",
        "# The password is asked for, as the token for this is not here.\n",
        "docker run --user 1000:1000 -u 0:0 x\n",
        "the basic idea of bearer things\n",
        "secret:\n  name: x\n  namespace: y\nother: z\n",
        "{\n  \"secret\": {\n    \"name\": \"x\"\n  }\n}\n",
        "<name>Timeout</name>\n<value>3</value>\n<key>Label</key>\n",
        "if a < b: c > d\n",
        "Host: h.example\nAccept: */*\n",
        "127.0.0.1 localhost # don't remove\n",
        "# Days between two changes of a password (default), before a password expires.\n",
        "passwd:   files systemd\npassword\trequisite\tpam_deny.so\n",
    ] {
        assert_eq!(without_credentials(text), text);
    }
}

#[test]
fn a_value_may_stand_below_its_name() {
    shown(&[
        ("password: >\n  one\n  two\n\n  three\nuser: ann\n", "password: >\n  ***\n  ***\n\n  ***\nuser: ann\n"),
        ("- token: |-\n    one\n  user: x\n", "- token: |-\n    ***\n  user: x\n"),
        ("password: !vault |2\n   one: two\nx: y\n", "password: !vault |2\n   ***\nx: y\n"),
        ("password:\n  hunter\nuser: ann\n", "password:\n  ***\nuser: ann\n"),
        ("passwords:\n- one\n- \"two\"\nuser: ann\n", "passwords:\n- ***\n- \"***\"\nuser: ann\n"),
        ("password: one\n  two\nuser: x\n", "password: ***\n  ***\nuser: x\n"),
        ("{\n \"password\":\n  \"hunter\",\n \"a\": 1\n}\n", "{\n \"password\":\n  \"***\",\n \"a\": 1\n}\n"),
        ("\"tokens\": [\n  \"a\",\n  \"b\"\n], \"c\": 1\n", "\"tokens\": [\n  \"***\",\n  \"***\"\n], \"c\": 1\n"),
        ("TOKEN=\"one\ntwo\" x\ny\n", "TOKEN=\"***\n***\" x\ny\n"),
        ("token = \"\"\"\none\n\"\"\"\nx\n", "token = \"\"\"\n***\n\"\"\"\nx\n"),
        ("password=one\\\n  two\nx=y\n", "password=***\n  ***\nx=y\n"),
        ("machine h\nlogin ann\npassword\npw22\n", "machine h\nlogin ann\npassword\n***\n"),
        ("login --password \\\n  pw22 \\\n  x\n", "login --password \\\n  *** \\\n  x\n"),
        (
            "- name: DB_PASSWORD\n  value: hunter\n- name: A\n  value: b\n",
            "- name: DB_PASSWORD\n  value: ***\n- name: A\n  value: b\n",
        ),
        ("{\"name\": \"DB_PASSWORD\", \"value\": \"x\"}", "{\"name\": \"DB_PASSWORD\", \"value\": \"***\"}"),
    ]);
}

#[test]
fn markup_has_elements_and_attributes() {
    shown(&[
        ("<password>hunter</password>", "<password>***</password>"),
        ("<a:apiKey x=\"1\">\n  hunter\n</a:apiKey>", "<a:apiKey x=\"1\">\n  ***\n</a:apiKey>"),
        ("<password><![CDATA[a<b]]></password>", "<password><![CDATA[***]]></password>"),
        ("<add key=\"DbPassword\" value=\"x\"/>", "<add key=\"DbPassword\" value=\"***\"/>"),
        ("<string name=\"api_key\">x</string>", "<string name=\"api_key\">***</string>"),
        ("<key>password</key>\n<string>x</string>", "<key>password</key>\n<string>***</string>"),
        ("<user password='x' name='y'>z</user>", "<user password='***' name='y'>z</user>"),
        ("<credentials>\n<user>x</user></credentials>", "<credentials>\n<user>x</user></credentials>"),
    ]);
}

#[test]
fn command_lines_have_passwords() {
    shown(&[
        ("curl -u ann:pw22 https://h/", "curl -u ann:*** https://h/"),
        ("curl -uann:pw22 --proxy-user \"a:b c\" https://h/", "curl -uann:*** --proxy-user \"a:***\" https://h/"),
        ("sh -c \"curl -u \\\"ann:pw22\\\" h\"", "sh -c \"curl -u \\\"ann:***\" h\""),
        ("curl -u ann:$PW --user=ann:pw22 h", "curl -u ann:$PW --user=ann:*** h"),
        ("user = \"ann:pw22\"", "user = \"ann:***\""),
        ("sshpass -p pw22 ssh h", "sshpass -p *** ssh h"),
        ("mysql -uroot -ppw22 db", "mysql -uroot -p*** db"),
        ("echo ann:pw22 | chpasswd", "echo ann:*** | chpasswd"),
        ("openssl rsa -passin pass:pw22 -in x", "openssl rsa -passin pass:***"),
        ("x --token abc --key /etc/k.pem --api-key k1", "x --token *** --key /etc/k.pem --api-key ***"),
        ("don't use password 'x y'", "don't use password '***'"),
    ]);
}

#[test]
fn private_keys_are_not_shown() {
    shown(&[
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nB==\n-----END RSA PRIVATE KEY-----\nb\n",
            "a\n-----BEGIN RSA PRIVATE KEY-----\n***\n***\n-----END RSA PRIVATE KEY-----\nb\n",
        ),
        (
            "x '-----BEGIN PRIVATE KEY-----\\nMII\\n-----END PRIVATE KEY-----' y\nz\n",
            "x '-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----' y\nz\n",
        ),
        (
            "  -----BEGIN OPENSSH PRIVATE KEY-----\n  b3B\n  -----END OPENSSH PRIVATE KEY-----\n",
            "  -----BEGIN OPENSSH PRIVATE KEY-----\n  ***\n  -----END OPENSSH PRIVATE KEY-----\n",
        ),
        ("-----BEGIN CERTIFICATE-----\nMII\n", "-----BEGIN CERTIFICATE-----\nMII\n"),
    ]);
}

proptest! {
    #[test]
    fn lines_stay_lines(text in "(password|token: |>|['\"=:\\\\<>/-]|\\$[{(]?|[a-zä]| |\n|\r\n|\\[|\\]|<password>|</|-u a:b)*") {
        let shown = without_credentials(&text);
        prop_assert_eq!(shown.lines().count(), text.lines().count());
        prop_assert_eq!(shown.split('\n').count(), text.split('\n').count());
    }
}

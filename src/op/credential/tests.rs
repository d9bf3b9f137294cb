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
fn what_chpasswd_is_given_is_not_shown() {
    shown(&[
        (
            "#cloud-config\nchpasswd:\n  expire: false\n  list: |\n    root:hunter 2\n    ann:pw22\n    bob:RANDOM\nruncmd: [a:b]\n",
            "#cloud-config\nchpasswd:\n  expire: false\n  list: |\n    root:***\n    ann:***\n    bob:RANDOM\nruncmd: [a:b]\n",
        ),
        (
            "chpasswd:\n  list:\n  - root:hunter\n  - \"ann:pw22\"\n  expire: false\n",
            "chpasswd:\n  list:\n  - root:***\n  - \"ann:***\"\n  expire: false\n",
        ),
        ("chpasswd: {list: [root:hunter, 'ann:x'], expire: false}\n", "chpasswd: ***\n"),
        ("  chpasswd:\n    list: [root:hunter, 'ann:x']\n", "  chpasswd:\n    list: [root:***, 'ann:***']\n"),
        ("- chpasswd:\n    list: \"root:pw\\nann:x\"\n", "- chpasswd:\n    list: \"root:***\"\n"),
        (
            "chpasswd:\n  users:\n  - {name: root, password: pw, type: text}\n  - name: ann\n    password: pw\n    type: text\n",
            "chpasswd:\n  users:\n  - {name: root, password: ***\n  - name: ann\n    password: ***\n    type: text\n",
        ),
        ("users:\n- name: ann\n  plain_text_passwd: pw\n", "users:\n- name: ann\n  plain_text_passwd: ***\n"),
        ("chpasswd <<EOF\nroot:hunter\nann:$PW\nEOF\nx:y\n", "chpasswd <<EOF\nroot:***\nann:$PW\nEOF\nx:y\n"),
        ("cat <<-'E' | chpasswd\n\troot:hunter\n\tE\na:b\n", "cat <<-'E' | chpasswd\n\troot:***\n\tE\na:b\n"),
    ]);
}

#[test]
fn files_of_users_have_passwords() {
    shown(&[
        ("root:$y$j9T$abcdefghijklmnop$x:19000:0:99999:7:::\n", "root:***:19000:0:99999:7:::\n"),
        ("root:abJnggxhB/yWI:19000:0:99999:7:::\n", "root:***:19000:0:99999:7:::\n"),
        ("root:!abJnggxhB/yWI:19000::::::\n", "root:***:19000::::::\n"),
        ("ann:$apr1$abcdefgh$0123456789abcdefghij/.\n", "ann:***\n"),
        ("ann:rqXexS6ZhobKA\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "ann:***\nbob:{SHA}***\n"),
        ("ann:the realm:939e7578ed9e3c518a452acee763bce9\n", "ann:the realm:***\n"),
        ("h.example:5432:db:ann:p:w\n", "h.example:5432:db:ann:***\n"),
        ("h.example:5432:db:ann:p\\:w\n*:*:*:ann:pw\n", "h.example:5432:db:ann:***\n*:*:*:ann:***\n"),
        ("localhost:*:*:postgres:hunter 2\n", "localhost:*:*:postgres:***\n"),
        (
            "ann:1000:0123456789ABCDEF0123456789ABCDEF:0123456789ABCDEF0123456789ABCDEF:[U          ]:LCT-5F000000:\n",
            "ann:1000:***:***:[U          ]:LCT-5F000000:\n",
        ),
        ("[mail.example]:587 ann@a.example:pw22\n", "[mail.example]:587 ann@a.example:***\n"),
        ("ann:{PLAIN}hunter:1000:1000::/home/ann\n", "ann:{PLAIN}***:1000:1000::/home/ann\n"),
        ("https://ann:tok@git.example\nhttps://ghp_x@h.example\n", "https://***@git.example\nhttps://***@h.example\n"),
        ("machine h\n  login ann\n  password pw22\n", "machine h\n  login ann\n  password ***\n"),
    ]);
    for text in [
        "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:,,,:/home/ann:/bin/bash\n",
        "daemon:*:19000:0:99999:7:::\nann:!:19000:0:99999:7:::\nbob::19000:0:99999:7:::\n",
        "sudo:x:27:ann,bob\nsudo:!::ann\n",
        "ann:100000:65536\n",
        "2026:01:02:03:04\nfe80:0:0:0:1\n00:1b:21:3c:4d\n",
        "at 10:20:30:40:50 it is\n",
        "image: deb:trixie\nKind:ConfigurationX\n",
        "url: {sha256}/x.tar and ${SHA}abcd\n",
        "/usr/sbin/chpasswd:\nchpasswd:\n  expire: false\nother: {a: b:c}\n",
        "id:3:initdefault:\n~~:S:wait:/sbin/sulogin\n",
        "# chpasswd << EOF has an end\na:b\n",
        "[Unit]\nAfter=a:b\n",
    ] {
        assert_eq!(without_credentials(text), text);
    }
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
    fn lines_stay_lines(text in "(password|token: |>|['\"=:\\\\<>/-]|\\$[{(]?|[a-zä]| |\n|\r\n|\\[|\\]|<password>|</|-u a:b|chpasswd:|list:|<<E|a:b:|\\{SHA\\})*") {
        let shown = without_credentials(&text);
        prop_assert_eq!(shown.lines().count(), text.lines().count());
        prop_assert_eq!(shown.split('\n').count(), text.split('\n').count());
    }
}

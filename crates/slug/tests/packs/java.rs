//! The Java pack: versions in all spellings, tasks of Gradle, addresses of databases.

use crate::Source;

const JDK: &[&str] = &["lib/pack.sh", "40-java/lib/jdk.sh"];

#[test]
fn a_version_is_asked_for_in_each_usual_file() {
    for (file, content, asked) in [
        ("system.properties", "maven.version=3.9.9\njava.runtime.version = 17.0.9\r\n", "17.0.9"),
        (".java-version", "temurin-21.0.2\n", "temurin-21.0.2"),
        (".tool-versions", "nodejs 24.0.0\njava zulu-11.56.19\n", "zulu-11.56.19"),
        (".sdkmanrc", "# env\njava=21.0.2-tem\n", "21.0.2-tem"),
    ] {
        let source = Source::new(&[(file, content)]);

        assert_eq!(source.bash(JDK, "asked_versions"), Ok(format!("{asked} {file}")));
    }
}

#[test]
fn spellings_of_vendors_mean_a_plain_version() {
    for (spelled, plain) in [
        ("21", "21"),
        ("1.8", "8"),
        ("1.8.0_392", "8"),
        ("openjdk-17.0.9", "17.0.9"),
        ("temurin-21.0.2+13.0.LTS", "21.0.2"),
        ("21.0.2-tem", "21.0.2"),
        ("heroku-25", "25"),
    ] {
        let said = Source::new(&[]).bash(JDK, &format!("plain_version {spelled}"));

        assert_eq!(said.as_deref(), Ok(plain), "{spelled}");
    }
}

#[test]
fn gradle_runs_what_the_build_files_offer() {
    for (build_file, task) in [
        ("task stage(dependsOn: ['build'])", "stage"),
        ("tasks.register('stage') {}", "stage"),
        ("plugins { id 'org.springframework.boot' version '3.5.0' }", "build -x check"),
        ("plugins {\n    application\n}\n", "installDist"),
        ("plugins { id 'java' }", "build -x check"),
    ] {
        let source = Source::new(&[("build.gradle", build_file)]);

        let said = source.bash(&["40-java/lib/gradle.sh"], "choose_task");

        assert_eq!(said.as_deref(), Ok(task), "{build_file}");
    }
    let source = Source::new(&[("build.gradle", "")]);
    let said = source.bash(&["40-java/lib/gradle.sh"], "GRADLE_TASK='shadowJar -x test' choose_task");
    assert_eq!(said.as_deref(), Ok("shadowJar -x test"));
}

#[test]
fn a_mirror_takes_the_place_of_the_address_in_gradles_wrapper() {
    let source = Source::new(&[(
        "gradle/wrapper/gradle-wrapper.properties",
        "distributionSha256Sum=abc\ndistributionUrl=https\\://services.example/gradle-9.0-bin.zip\n",
    )]);

    let said = source.bash(
        &["40-java/lib/gradle.sh"],
        "GRADLE_DISTRIBUTION_URL=https://mirror.example/gradle.zip use_distribution; cat \"$WRAPPER\"",
    );

    assert_eq!(
        said.as_deref(),
        Ok("distributionSha256Sum=abc\ndistributionUrl=https\\://mirror.example/gradle.zip")
    );
}

#[test]
fn an_address_of_a_database_is_there_in_javas_spelling_too() {
    let line = "HOME=$PWD DATABASE_URL='postgres://me:p%40ss@db.example:5432/app?sslmode=require'\n\
                source \"$PACK/lib/memory-limit.sh\"; source \"$PACK/40-java/lib/profile.sh\"\n\
                echo \"$JDBC_DATABASE_URL $SPRING_DATASOURCE_URL $SPRING_DATASOURCE_USERNAME $SPRING_DATASOURCE_PASSWORD\"";
    let line = line.replace("$PACK", &crate::packs().display().to_string());

    let said = Source::new(&[]).bash(&[], &line);

    assert_eq!(
        said.as_deref(),
        Ok("jdbc:postgresql://db.example:5432/app?user=me&password=p%40ss&sslmode=require \
            jdbc:postgresql://db.example:5432/app?sslmode=require me p@ss")
    );
}

package example;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A small web app that answers with its name. */
@SpringBootApplication
@RestController
public class Main {
    @Value("${POWERED_BY:Deis Workflow}")
    private String poweredBy;

    public static void main(String[] words) {
        SpringApplication.run(Main.class, words);
    }

    @GetMapping("/")
    public String hello() {
        return "java-spring example, powered by " + poweredBy + " on Java " + Runtime.version().feature() + "\n";
    }
}

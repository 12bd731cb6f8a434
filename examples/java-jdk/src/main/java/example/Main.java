package example;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** A small web app that answers with its name. */
public class Main {
    private static final int STOP_SECONDS_MAX = 20;

    public static void main(String[] words) throws IOException {
        int port = Integer.parseInt(setting("PORT", "5000"));
        String text = "java-jdk example, powered by " + setting("POWERED_BY", "Deis Workflow")
                + " on Java " + Runtime.version().feature() + "\n";
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", exchange -> {
            try (exchange) {
                exchange.sendResponseHeaders(200, body.length);
                exchange.getResponseBody().write(body);
            }
        });
        // Finishes the requests under way.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(STOP_SECONDS_MAX)));
        server.start();
    }

    private static String setting(String name, String fallback) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? fallback : value;
    }
}

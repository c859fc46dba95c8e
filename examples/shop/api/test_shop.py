"""Tests of what needs no database: `python3 -m unittest`."""

import unittest

import shop


class PriceTest(unittest.TestCase):
    def test_a_price_has_two_decimals(self):
        self.assertEqual(shop.price(320), "3.20")
        self.assertEqual(shop.price(5), "0.05")


class RouteTest(unittest.TestCase):
    def test_every_path_of_the_contract_is_answered(self):
        self.assertEqual(
            sorted(shop.ROUTES), ["/health", "/health/live", "/health/ready", "/items", "/metrics", "/version"]
        )

    def test_the_version_names_its_revision(self):
        status, answer = shop.version(None)
        self.assertEqual((status, sorted(answer)), (200, ["revision", "version"]))


class MetricsTest(unittest.TestCase):
    def test_requests_are_counted_by_route_and_status(self):
        metrics = shop.Metrics()
        metrics.observe("/items", 200, 0.5)
        metrics.observe("/items", 200, 0.25)
        self.assertIn('http_requests_total{route="/items",status="200"} 2', metrics.text())
        self.assertIn('http_request_seconds_total{route="/items"} 0.750000', metrics.text())


if __name__ == "__main__":
    unittest.main()

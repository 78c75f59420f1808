resource "aws_iam_role" "auto_deploy" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          AWS = [
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::210987654321:role/ci/jenkins",
          ]
        }
      },
    ]
  })
}
